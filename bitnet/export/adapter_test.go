package export

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/modelfile/modelfiletest"
	"bitnet/data/tokenizer"
)

// tictactoe is a packed model with its tokenizer.
const tictactoe = "../../testdata/tictactoe"

// randomAdapter writes an adapter of tictactoe that changes its logits a good deal.
func randomAdapter(t *testing.T) string { return modelfiletest.Adapter(t, tictactoe, "somewhere/else") }

// The adapter that was written is the one that was read, alone and as part of a model.
func TestExportAdapter(t *testing.T) {
	adapter := randomAdapter(t)
	w, want, err := modelfile.ReadSource(modelfile.Source{Dir: tictactoe, Adapter: adapter})
	require.NoError(t, err)
	export := func(o Options) (*Result, error) {
		o.Adapter, o.Note = adapter, func(string) {}
		return Export(context.Background(), tictactoe, o)
	}
	out := filepath.Join(t.TempDir(), "peft")
	_, err = export(Options{Format: "peft", Out: out})
	require.NoError(t, err)
	got, err := modelfile.ReadAdapter(out, w.Config)
	require.NoError(t, err)
	require.Equal(t, want, got)

	ids := []uint32{1, 5, 6, 7, 8}
	before, err := w.Forward(ids, modelfile.PerToken)
	require.NoError(t, err)
	adapted, err := w.ForwardAdapted(want, ids, modelfile.PerToken)
	require.NoError(t, err)
	distance, _ := gap(before, adapted)
	require.Greater(t, distance, 1.0, "the adapter does something")

	// What a device computes is the reference.
	dev := modeltest.Device(t)
	m, err := infer.Load(dev, w, want)
	require.NoError(t, err)
	defer m.Release()
	g, err := infer.NewGenerator(m, 1, 16)
	require.NoError(t, err)
	defer g.Release()
	logits, err := g.Feed(t.Context(), [][]uint32{ids})
	require.NoError(t, err)
	for i, v := range adapted[len(ids)-1] {
		require.InDelta(t, v, float64(logits[0][i]), 2e-2)
	}

	// Merged into a packed model, weights change where the adapter is large, and scales stay.
	merged := filepath.Join(t.TempDir(), "merged")
	_, err = export(Options{Format: "hf-packed", Merge: true, Out: merged, Check: true})
	require.NoError(t, err)
	again, err := modelfile.ReadWeights(merged)
	require.NoError(t, err)
	changed := 0
	for name, m := range again.Ternary {
		require.Equal(t, w.Ternary[name].Scale, m.Scale)
		for i, c := range m.Codes {
			if c != w.Ternary[name].Codes[i] {
				changed++
			}
		}
	}
	require.Positive(t, changed)
	require.Equal(t, w.Float, again.Float)
}

func TestExportAdapterRefuses(t *testing.T) {
	adapter := randomAdapter(t)
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Format: "peft"}, "has none"},
		{Options{Format: "hf-packed", Merge: true}, "--merge needs an adapter"},
		{Options{Format: "hf-packed", Adapter: adapter}, "or becomes part of the model with --merge"},
		{Options{Format: "peft", Adapter: adapter, Merge: true}, "not with peft"},
		{Options{Format: "gguf-lora", Adapter: adapter, Check: true}, "--check and --verify are for models"},
		{Options{Format: "hf-packed", Adapter: tictactoe}, "is not an adapter"},
		{Options{Format: "hf-packed", ForLoRA: true}, "only with --format gguf"},
	} {
		c.o.Out = filepath.Join(t.TempDir(), "out.gguf")
		_, err := Export(context.Background(), tictactoe, c.o)
		require.ErrorContains(t, err, c.want)
		require.NoFileExists(t, c.o.Out)
	}
	_, err := Export(context.Background(), adapter, Options{Format: "peft", Out: filepath.Join(t.TempDir(), "x")})
	require.ErrorContains(t, err, "the model that the adapter")
	_, err = Export(context.Background(), tictactoe, Options{Format: "gguf-lora", Adapter: adapter, Out: filepath.Join(t.TempDir(), "x")})
	require.ErrorContains(t, err, "ends in .gguf")
}

// Stock llama.cpp with the adapter computes what we compute, and writes the same.
func interopAdapter(t *testing.T) {
	llamaInstallation(t)
	adapter := randomAdapter(t)
	_, a, err := modelfile.ReadSource(modelfile.Source{Dir: tictactoe, Adapter: adapter})
	require.NoError(t, err)
	tok, err := tokenizer.Load(tictactoe)
	require.NoError(t, err)
	ids, err := tok.Encode("<s>5172")
	require.NoError(t, err)
	for _, name := range []string{"f32", "f16", "q4_0"} {
		t.Run(name, func(t *testing.T) {
			base, lora := filepath.Join(t.TempDir(), "model.gguf"), filepath.Join(t.TempDir(), "lora.gguf")
			_, err := Export(context.Background(), tictactoe, Options{Format: "gguf", Type: name, Out: base, ForLoRA: true, Check: true})
			require.NoError(t, err)
			_, err = Export(context.Background(), tictactoe, Options{Format: "gguf-lora", Adapter: adapter, Out: lora})
			require.NoError(t, err)
			written, _, err := readGGUF(base)
			require.NoError(t, err)
			const count = 5
			answer := askLlamaWith(t, base, lora, []string{}, ids, ids[:1], count)
			rounding := ggufTypes[name].rounding
			ours, err := written.ForwardAdapted(a, ids, rounding)
			require.NoError(t, err)
			plain, err := written.Forward(ids, rounding)
			require.NoError(t, err)
			same, _ := gap(ours, answer.logits)
			without, _ := gap(plain, answer.logits)
			t.Logf("%s: logits differ by %.2g, by %.2g from those without the adapter", name, same, without)
			require.Less(t, same, interopSame)
			require.Greater(t, without, 1.0)
			next := append([]uint32{}, ids[:1]...)
			for range count {
				logits, err := written.ForwardAdapted(a, next, rounding)
				require.NoError(t, err)
				next = append(next, uint32(argmax(logits[len(logits)-1])))
			}
			require.Equal(t, next[1:], answer.Next)
		})
	}
}

func TestAdapterFilesRefuse(t *testing.T) {
	c, err := modelfile.ReadHFConfig(tictactoe)
	require.NoError(t, err)
	for _, x := range []struct{ text, want string }{
		{`{`, "JSON"},
		{`{"peft_type": "IA3"}`, "this program reads LORA"},
		{`{"peft_type": "LORA", "r": 0, "lora_alpha": 1}`, "r is 0"},
		{`{"peft_type": "LORA", "r": 3, "lora_alpha": -1}`, "lora_alpha is -1"},
		{`{"peft_type": "LORA", "r": 3, "lora_alpha": 1, "use_dora": true}`, "use_dora"},
		{`{"peft_type": "LORA", "r": 3, "lora_alpha": 1, "bias": "all"}`, "biases"},
		{`{"peft_type": "LORA", "r": 3, "lora_alpha": 1, "modules_to_save": ["embed_tokens"]}`, "embed_tokens"},
		{`{"peft_type": "LORA", "r": 3, "lora_alpha": 1, "rank_pattern": {"q": 1}}`, "rank_pattern"},
		{`{"peft_type": "LORA", "r": 60000, "lora_alpha": 1}`, "has shape"},
	} {
		dir := randomAdapter(t)
		require.NoError(t, os.WriteFile(filepath.Join(dir, modelfile.AdapterConfigName), []byte(x.text), 0o644))
		_, err := modelfile.ReadAdapter(dir, c.Config)
		require.ErrorContains(t, err, x.want)
	}
	other := c.Config
	other.Layers = 1
	_, err = modelfile.ReadAdapter(randomAdapter(t), other)
	require.ErrorContains(t, err, "is not an adapter of this model")
}
