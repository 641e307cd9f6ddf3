package train

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/eval"
	"bitnet/bitnet/infer"
	"bitnet/bitnet/model"
	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/modelfile/safetensors"
	"bitnet/bitnet/runs"
	"bitnet/data"
	"bitnet/gpu"
	"bitnet/gpu/driver"
	"bitnet/graph"
)

// The losses and the gradient of every adapter are those of PyTorch in float64. An
// activation near the middle between two codes can round to the other one, which
// changes a few losses by more than the rest.
func TestAdapterGradientsAgainstPyTorch(t *testing.T) {
	dev := modeltest.Device(t)
	golden := filepath.Join("..", "..", "testdata", "golden")
	w, a, err := modelfile.ReadSource(modelfile.Source{Dir: filepath.Join(golden, "train", "init"), Adapter: filepath.Join(golden, "lora")})
	require.NoError(t, err)
	want, err := safetensors.Open(filepath.Join(golden, "lora", "values.safetensors"))
	require.NoError(t, err)
	defer want.Close()
	opt := graph.AdamW{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8}
	m, err := model.NewAdapted(w.Config, dev.Adapter(), opt.Storage(), "f32", &a.LoRA)
	require.NoError(t, err)
	plan, err := m.PlanTraining(model.Step{Batch: 8, Seq: 32, Optimizer: opt})
	require.NoError(t, err)
	require.NoError(t, m.Allocate(dev))
	defer m.Release()
	require.NoError(t, m.LoadWeights(w))
	require.NoError(t, m.LoadAdapter(a))
	program, err := plan.Compile(dev)
	require.NoError(t, err)
	defer program.Release()
	src, err := data.OpenTokens(filepath.Join(golden, "train", "tokens.u16"), false, false, 0, 32, w.Config.VocabSize)
	require.NoError(t, err)
	batch := data.NewBatch(8, 32)
	require.NoError(t, src.Next(batch))
	require.NoError(t, infer.LoadBatch(program, batch, w.Config.VocabSize))
	require.NoError(t, m.Params.SetStep(graph.StepValues{LossTokens: 256, Beta1: 0.9, Beta2: 0.95, MaxNorm: 1}))
	require.NoError(t, program.MicroBatch())

	losses := make([]float32, 256)
	require.NoError(t, program.Losses(losses))
	wantLosses, err := want.Float64s("losses")
	require.NoError(t, err)
	sum, far := 0.0, 0
	for i, l := range losses {
		sum += float64(l) - wantLosses[i]
		if math.Abs(float64(l)-wantLosses[i]) > 1e-3 {
			far++
		}
	}
	require.InDelta(t, 0, sum/256, 1e-3)
	require.LessOrEqual(t, far, 26)

	trained := m.Params.Trained()
	require.Len(t, trained, 2*7*w.Config.Layers)
	for _, p := range trained {
		name := p.Parts[0].Name
		ref, err := want.Float64s("grad." + name)
		require.NoError(t, err)
		got := make([]float32, len(ref))
		require.NoError(t, p.Read(graph.Grad, got))
		var norm, gap float64
		for i, r := range ref {
			norm += r * r
			gap += (float64(got[i]) - r) * (float64(got[i]) - r)
		}
		require.Less(t, math.Sqrt(gap/norm), 1e-2, name)
	}
}

// trainedBase trains a tiny model and gives its checkpoint.
func trainedBase(t *testing.T, settings ...string) string {
	c := tiny(t)
	for _, s := range append([]string{"steps=4", "checkpoint_interval=0"}, settings...) {
		require.NoError(t, c.Set(s))
	}
	run := begin(t, c, modeltest.Device(t), Start{RunsDir: t.TempDir(), RunID: "base"}, Events{})
	require.NoError(t, run.Train(context.Background()))
	run.Close()
	return run.Run.Checkpoints()[0]
}

// adapting is a run of adapters on a base.
func adapting(t *testing.T, base string, settings ...string) *Config {
	c := tiny(t)
	hf, err := modelfile.ReadHFConfig(base)
	require.NoError(t, err)
	c.Model = hf.Config
	for _, s := range append([]string{"lora=r=2,targets=q,v,down", "steps=12", "seed=7", "eval_interval=6", "eval_samples=4"}, settings...) {
		require.NoError(t, c.Set(s), s)
	}
	return c
}

// A run of adapters resumes to the bit, stores no weights of the base, opens with the
// base that it names, and refuses one that changed.
func TestAdapterRun(t *testing.T) {
	dev := modeltest.Device(t)
	base := trainedBase(t)
	for _, settings := range [][]string{nil, {"moments=8bit", "memory=low"}} {
		c := adapting(t, base, settings...)
		whole := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "whole", Init: base}, Events{})
		require.NoError(t, whole.Train(context.Background()))
		whole.Close()

		ctx, cancel := context.WithCancel(context.Background())
		half := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "half", Init: base}, Events{Metrics: func(m runs.Metrics) {
			if m.Step == 5 {
				cancel()
			}
		}})
		require.ErrorIs(t, half.Train(ctx), context.Canceled)
		half.Close()
		saved, err := LoadConfig(filepath.Join(half.Run.Checkpoints()[0], configName))
		require.NoError(t, err)
		rest := begin(t, saved, dev, Start{Resume: half.Run.Dir}, Events{})
		require.NoError(t, rest.Train(context.Background()))
		rest.Close()
		sums := func(run *runs.Run) map[string]runs.FileSum {
			s, err := runs.ReadState(run.Checkpoints()[0])
			require.NoError(t, err)
			require.EqualValues(t, 12, s.Step)
			delete(s.Files, configName)
			return s.Files
		}
		require.Equal(t, sums(whole.Run), sums(rest.Run))
		require.Contains(t, sums(whole.Run), modelfile.AdapterWeightsName)
		require.NotContains(t, sums(whole.Run), modelfile.WeightsName)
		checkOpens(t, whole, base)
	}
}

// checkOpens opens what a run of adapters saved, and measures it.
func checkOpens(t *testing.T, run *Trainer, base string) {
	dev := modeltest.Device(t)
	e, err := Evaluate(t.Context(), dev, run.Run.Dir, EvalOptions{Options: eval.Options{Rows: 4}})
	require.NoError(t, err)
	plain, err := Evaluate(t.Context(), dev, base, EvalOptions{Options: eval.Options{Rows: 4}})
	require.NoError(t, err)
	require.NotEqual(t, plain.Loss, e.Loss, "the adapter does something")
	named, err := Evaluate(t.Context(), dev, base, EvalOptions{Options: eval.Options{Rows: 4}, Adapter: run.Run.Dir})
	require.NoError(t, err)
	require.Equal(t, e.Loss, named.Loss)
	evals, err := run.Run.Evals()
	require.NoError(t, err)
	require.InDelta(t, float64(evals[len(evals)-1].Loss), float64(e.Loss), 1e-5, "the loss is that of the run's last evaluation")

	opened, err := infer.OpenAdapted(t.Context(), dev, "", base, run.Run.Dir, func(string) {})
	require.NoError(t, err)
	require.Equal(t, run.Run.Checkpoints()[0], opened.Adapter)
	opened.Release()
}

func TestAdaptersRefuse(t *testing.T) {
	dev := modeltest.Device(t)
	base := trainedBase(t)
	c := adapting(t, base)
	prepare := func(c *Config, s Start) error {
		s.RunsDir = t.TempDir()
		j, err := Prepare(t.Context(), c, s, Events{})
		if err != nil {
			return err
		}
		defer j.Close()
		tr, err := j.Begin(t.Context(), dev)
		if err == nil {
			tr.Close()
		}
		return err
	}
	run := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "run", Init: base}, Events{})
	require.NoError(t, run.Train(context.Background()))
	run.Close()
	more := adapting(t, base, "steps=20")

	require.ErrorContains(t, prepare(c, Start{}), "--init MODEL")
	require.ErrorContains(t, prepare(c, Start{Init: run.Run.Checkpoints()[0]}), "is an adapter")
	require.ErrorContains(t, prepare(adapting(t, base, "steps=20", "lora=r=2,alpha=5,targets=q,v,down"), Start{Resume: run.Run.Dir}), "alpha=4,targets=q,v,down, not with r=2,alpha=5")
	require.ErrorContains(t, prepare(more, Start{Resume: filepath.Dir(filepath.Dir(base))}), "a model and no adapters")
	whole := tiny(t)
	require.ErrorContains(t, prepare(whole, Start{Resume: run.Run.Dir}), "is an adapter and not a model")

	other := trainedBase(t, "seed=99")
	require.ErrorContains(t, prepare(more, Start{Resume: run.Run.Dir, Init: other}), "is not the model that the adapter")
	_, _, err := modelfile.ReadSource(modelfile.Source{Dir: other, Adapter: run.Run.Checkpoints()[0]})
	require.ErrorContains(t, err, "different hash")
	moved := filepath.Join(t.TempDir(), "moved")
	require.NoError(t, os.Rename(base, moved))
	require.ErrorContains(t, prepare(more, Start{Resume: run.Run.Dir}), "is not there")
	require.NoError(t, prepare(more, Start{Resume: run.Run.Dir, Init: moved}))

	for _, s := range []string{"lora=r=0", "lora=r=x", "lora=r=2,targets=head", "lora=r=2,x=1", "lora=r=2,alpha=-1"} {
		bad := tiny(t)
		require.NoError(t, bad.Set(s))
		require.ErrorContains(t, bad.Check(), "train.lora is", s)
	}
	muon := tiny(t)
	require.NoError(t, muon.Set("lora=r=2"))
	require.NoError(t, muon.Set("optimizer=muon"))
	require.ErrorContains(t, muon.Check(), "use adamw")
}

// chained trains a model on a chain of tokens, and gives its checkpoint and its mean
// loss over the last 20 steps.
func chained(t *testing.T, base, tokens string, settings ...string) (string, float64) {
	c := tiny(t)
	var err error
	c.Model, err = modelfile.ReadTrainable(base)
	require.NoError(t, err)
	for _, s := range append([]string{"data.source=tokens:" + tokens, "shuffle=false", "batch_size=8", "seq_len=32", "grad_accum=1", "warmup_steps=4",
		"learning_rate=4e-3", "log_interval=20", "checkpoint_interval=0"}, settings...) {
		require.NoError(t, c.Set(s), s)
	}
	run := begin(t, c, modeltest.Device(t), Start{RunsDir: t.TempDir(), RunID: "run", Init: base}, Events{})
	require.NoError(t, run.Train(context.Background()))
	run.Close()
	return run.Run.Checkpoints()[0], metricsOf(t, run.Run.Dir)[int64(c.Train.Steps)].Get(runs.LossMean)
}

// A model that knows a chain of tokens learns another one, of every second token, with
// adapters of full rank as well as if all of it is trained. Its embedding and norms stay.
func TestFullRankReachesFullTraining(t *testing.T) {
	golden := filepath.Join("..", "..", "testdata", "golden", "train")
	tokens := filepath.Join(golden, "tokens.u16")
	base, first := chained(t, filepath.Join(golden, "init"), tokens, "steps=200")
	require.Less(t, first, 1.4)
	raw, err := os.ReadFile(tokens)
	require.NoError(t, err)
	var second []byte
	for i := 0; i+4 <= len(raw); i += 4 {
		second = append(second, raw[i:i+2]...)
	}
	other := filepath.Join(t.TempDir(), "second.u16")
	require.NoError(t, os.WriteFile(other, second, 0o644))
	_, full := chained(t, base, other, "steps=160")
	_, adapted := chained(t, base, other, "steps=160", "lora=r=64,alpha=256")
	t.Logf("loss %.4f of the whole model, %.4f of adapters", full, adapted)
	require.Less(t, adapted, 1.01*full)
}

// A step of adapters on a model of the shape of BitNet b1.58 2B4T fits into a card of 12 GB.
func TestAdaptersOfALargeModelFit(t *testing.T) {
	c, err := Preset("chat")
	require.NoError(t, err)
	for _, s := range []string{"vocab_size=128256", "hidden_size=2560", "intermediate_size=6912", "num_hidden_layers=30", "num_attention_heads=20",
		"num_key_value_heads=5", "max_position_embeddings=4096", "hidden_act=relu2", "seq_len=256", "batch_size=4", "memory=fast", "lora=r=16,alpha=32,targets=all"} {
		require.NoError(t, c.Set(s), s)
	}
	card := gpu.Adapter{Adapter: driver.Adapter{Name: "a card", Kind: gpu.Discrete, Limits: gpu.Limits{
		BufferSize: 4<<30 - 4, BindingSize: 4<<30 - 4, OffsetAlignment: 256, StorageBindings: 8,
		WorkgroupMemory: 32 << 10, WorkgroupInvocations: 256, WorkgroupSizeX: 256, WorkgroupsPerDimension: 65535,
	}}}
	m, plan, err := Plan(c, card)
	require.NoError(t, err)
	require.InDelta(t, 21.6e6, float64(m.Params.Count()), 0.1e6)
	var total int64
	for _, x := range plan.Memory() {
		t.Logf("%9.2f MiB  %s", float64(x.Bytes)/(1<<20), x.Arena)
		total += x.Bytes
	}
	require.Less(t, total, int64(12e9))
}

// Adapters learn conversations on a model that has a chat template. One without would
// need new rows of the embedding, which is frozen.
func TestChatAdapters(t *testing.T) {
	dev := modeltest.Device(t)
	base := baseModel(t, 264)
	small := []string{"epochs=1", "eval_interval=100", "eval_samples=1"}
	lora := append([]string{"lora=r=4,targets=q,v"}, small...)
	_, err := Prepare(t.Context(), chatConfig(t, base, lora...), Start{RunsDir: t.TempDir(), Init: base}, Events{})
	require.ErrorContains(t, err, "has no chat template, and --lora leaves the embedding as it is")

	whole := begin(t, chatConfig(t, base, small...), dev, Start{RunsDir: t.TempDir(), RunID: "whole", Init: base}, Events{})
	require.NoError(t, whole.Train(context.Background()))
	whole.Close()
	talks := whole.Run.Checkpoints()[0]
	run := begin(t, chatConfig(t, talks, lora...), dev, Start{RunsDir: t.TempDir(), RunID: "adapted", Init: talks}, Events{})
	require.NoError(t, run.Train(context.Background()))
	run.Close()
	e, err := Evaluate(t.Context(), dev, run.Run.Dir, EvalOptions{Options: eval.Options{Rows: 1}})
	require.NoError(t, err)
	require.NotEmpty(t, e.Scores)
	best, err := run.Run.Best()
	require.NoError(t, err)
	require.NotNil(t, best.Kept)
	m, err := infer.Open(t.Context(), dev, filepath.Dir(run.Run.Dir), "adapted@best", func(string) {})
	require.NoError(t, err)
	defer m.Release()
	f, err := infer.FindChatFormat("", m.Tokenizer)
	require.NoError(t, err)
	require.Equal(t, infer.ChatML, f.Name)
}
