package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"bitnet/bitnet/eval"
	"bitnet/bitnet/infer"
	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/runs"
	"bitnet/data"
	"bitnet/data/hub/hubtest"
	"bitnet/data/tokenizer"
)

// roadSteps makes TestTextRoad train the tinystories preset itself, at its full
// size, on the whole Go tree for so many steps: half an hour or more on a CPU.
const roadSteps = "BITNET_ROAD_STEPS"

// hubOfGoTexts serves the Go tree's sources below a folder from a local hub, as
// the parquet files of the data set that the preset tinystories names.
func hubOfGoTexts(t *testing.T, root string) {
	t.Helper()
	type row struct {
		Text string `parquet:"text,zstd"`
	}
	var rows []row
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		ext := filepath.Ext(p)
		if err != nil || !d.Type().IsRegular() || ext != ".go" && ext != ".md" && ext != ".html" {
			return err
		}
		b, err := os.ReadFile(p)
		rows = append(rows, row{string(b)})
		return err
	})
	if err != nil || len(rows) < 10 {
		t.Skipf("the Go tree's sources are not here to read: %v", err)
	}
	files := map[string][]byte{}
	const parts = 3
	for i := range parts {
		var buf bytes.Buffer
		require.NoError(t, parquet.Write(&buf, rows[i*len(rows)/parts:(i+1)*len(rows)/parts], parquet.MaxRowsPerRowGroup(100)))
		files[fmt.Sprintf("data/train-%05d-of-%05d.parquet", i, parts)] = buf.Bytes()
	}
	hub := hubtest.New(t)
	hub.Add("datasets", "roneneldan/TinyStories", files)
	t.Setenv("HF_ENDPOINT", hub.URL)
	t.Setenv("HF_HOME", t.TempDir())
	for _, v := range []string{"HF_HUB_CACHE", "HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE"} {
		t.Setenv(v, "")
	}
}

// unigramEntropy is the entropy of the tokens of a source in nats: the loss of
// a model that knows how often each token comes and nothing else.
func unigramEntropy(t *testing.T, src data.Source, c *Config) float64 {
	t.Helper()
	counts, n := map[uint32]float64{}, 0.0
	b := data.NewBatch(c.Train.BatchSize, c.Train.SeqLen)
	for rows := 0; rows < c.Output.EvalSamples; rows += b.Rows {
		if err := src.Next(b); errors.Is(err, io.EOF) {
			break
		} else {
			require.NoError(t, err)
		}
		for _, id := range b.Targets {
			if id != data.Ignore {
				counts[id]++
				n++
			}
		}
	}
	h := 0.0
	for _, k := range counts {
		h -= k / n * math.Log(k/n)
	}
	return h
}

// The whole road on real text: parquet files from a hub, tokenizer, shards,
// training, validation, a stop in the middle and a resume that is bit-exact.
func TestTextRoad(t *testing.T) {
	dev := modeltest.Device(t)
	settings := []string{"vocab_size=320", "hidden_size=32", "intermediate_size=48",
		"num_hidden_layers=1", "num_attention_heads=2", "num_key_value_heads=1", "steps=24", "batch_size=4", "seq_len=32", "warmup_steps=2",
		"learning_rate=4e-3", "log_interval=1", "eval_interval=0", "sample_interval=0", "checkpoint_interval=5", "eval_samples=8", "prompts=[\"func \"]"}
	steps, root := int64(24), filepath.Join(runtime.GOROOT(), "src", "strings")
	full := os.Getenv(roadSteps) != ""
	if full {
		var err error
		steps, err = strconv.ParseInt(os.Getenv(roadSteps), 10, 64)
		require.NoError(t, err, roadSteps)
		root = filepath.Join(runtime.GOROOT(), "src")
		settings = []string{fmt.Sprintf("steps=%d", steps), "batch_size=4", fmt.Sprintf("warmup_steps=%d", min(steps/10, 100)), "log_interval=1",
			fmt.Sprintf("eval_interval=%d", max(steps/8, 1)), "sample_interval=0", fmt.Sprintf("checkpoint_interval=%d", max(steps/4, 1)),
			"eval_samples=64", "prompts=[\"func \", \"// The \"]"}
	}
	hubOfGoTexts(t, root)
	dir := t.TempDir()
	config := func() *Config {
		c, err := Preset("tinystories")
		require.NoError(t, err)
		for _, s := range append(settings, "data.dir="+dir, "data.held_out=0.05") {
			require.NoError(t, c.Set(s))
		}
		return c
	}
	var evals []runs.Eval
	var samples []runs.Sample
	events := Events{
		Eval: func(r runs.Eval) {
			evals = append(evals, r)
			t.Logf("step %d: validation loss %.3f", r.Step, r.Loss)
		},
		Samples: func(s []runs.Sample) {
			samples = s
			t.Log(s)
		},
	}
	whole := begin(t, config(), dev, Start{RunsDir: t.TempDir(), RunID: "whole"}, events)
	require.NoError(t, whole.Train(context.Background()))
	last := evals[len(evals)-1]
	require.NotEmpty(t, samples)
	require.NotEmpty(t, samples[0].Text)
	a := metricsOf(t, whole.Run.Dir)
	require.InEpsilon(t, math.Log(float64(whole.Config.Model.VocabSize)), a[1].Get(runs.Loss), 0.05, "the first loss is ln(vocabulary)")
	src, err := whole.task.Validation()
	require.NoError(t, err)
	unigram := unigramEntropy(t, src, &whole.Config)
	t.Logf("unigram entropy of the held-out text: %.3f", unigram)
	if full {
		require.Less(t, float64(last.Loss), unigram, "validation loss falls below the unigram entropy")
	} else {
		require.Less(t, float64(last.Loss), 5.3, "validation loss falls")
	}

	// From the middle on, or in full size from the last quarter on, once more.
	var resume string
	if full {
		resume = filepath.Join(t.TempDir(), "copy")
		last := fmt.Sprintf("step_%08d", steps/4*3)
		require.NoError(t, os.CopyFS(filepath.Join(resume, "checkpoints", last), os.DirFS(filepath.Join(whole.Run.Dir, "checkpoints", last))))
		require.NoError(t, os.CopyFS(filepath.Join(resume, "logs"), os.DirFS(filepath.Join(whole.Run.Dir, "logs"))))
	} else {
		ctx, cancel := context.WithCancel(context.Background())
		half := begin(t, config(), dev, Start{RunsDir: t.TempDir(), RunID: "half"}, Events{Metrics: func(m runs.Metrics) {
			if m.Step == 11 {
				cancel()
			}
		}})
		require.ErrorIs(t, half.Train(ctx), context.Canceled)
		half.Close()
		resume = half.Run.Dir
	}
	rest := begin(t, config(), dev, Start{Resume: resume}, Events{})
	require.NoError(t, rest.Train(context.Background()))
	require.Len(t, metricsOf(t, rest.Run.Dir), int(steps))
	for s, m := range metricsOf(t, rest.Run.Dir) {
		require.Equal(t, a[s].Get(runs.Loss), m.Get(runs.Loss), "loss of step %d", s)
	}
	require.Equal(t, finalSum(t, whole.Run.Dir, steps), finalSum(t, rest.Run.Dir, steps))

	// A checkpoint carries its tokenizer, and evaluates by itself.
	r, err := Evaluate(context.Background(), dev, rest.Run.Dir, EvalOptions{
		Options: eval.Options{Rows: whole.Config.Output.EvalSamples}, Note: func(s string) { t.Error(s) },
	})
	require.NoError(t, err)
	require.InDelta(t, float64(last.Loss), float64(r.Loss), 1e-6)
	require.FileExists(t, filepath.Join(rest.Run.Dir, "checkpoints", fmt.Sprintf("step_%08d", steps), "tokenizer.json"))

	// The shards can be named by themselves, with their tokenizer.
	c := config()
	require.NoError(t, c.Set("data.source=shards:"+filepath.Join(dir, "shards")))
	_, err = Prepare(context.Background(), c, Start{RunsDir: t.TempDir()}, Events{})
	require.ErrorContains(t, err, "--tokenizer")
	require.NoError(t, c.Set("data.tokenizer="+filepath.Join(dir, "tokenizer")))
	_, err = Prepare(context.Background(), c, Start{RunsDir: t.TempDir()}, Events{})
	require.NoError(t, err)
}

// Bits per byte are the same as counted by hand from the log-probabilities and the
// text itself, whatever the tokenizer is; data without bytes has none.
func TestBitsPerByte(t *testing.T) {
	dev := modeltest.Device(t)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir()) // of other systems' caches
	var text strings.Builder
	for i := range 40 {
		fmt.Fprintf(&text, "Zeile %d: der Bär kostet %d €, ✨ naïve café 日本語 %x\n", i, 7*i, i*i*i)
	}
	file, folder := filepath.Join(t.TempDir(), "text.txt"), t.TempDir()
	require.NoError(t, os.WriteFile(file, []byte(text.String()), 0o600))
	for i := range 8 { // documents to train on, and some that are held out
		require.NoError(t, os.WriteFile(filepath.Join(folder, fmt.Sprintf("%d.txt", i)), fmt.Appendf(nil, "%d %s", i, text.String()), 0o600))
	}
	for _, vocab := range []int{259, 320, 512} { // bytes alone, and more and longer merges
		c := tiny(t)
		for _, s := range []string{"steps=2", "checkpoint_interval=0", "keep_checkpoints=1", "data.source=text:" + folder, "held_out=0.3", "seq_len=16", "max_position_embeddings=16",
			fmt.Sprintf("vocab_size=%d", vocab), "data.dir=" + t.TempDir(), "eval_interval=1", "eval_samples=3"} {
			require.NoError(t, c.Set(s))
		}
		tr := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "run"}, Events{Eval: func(e runs.Eval) {
			require.Equal(t, runs.BitsPerByte, e.Scores[0].Name)
			require.InEpsilon(t, float64(e.Loss)*float64(e.Tokens)/math.Log(2)/float64(e.Scores[0].Count), e.Scores[0].Value, 1e-9)
		}})
		require.NoError(t, tr.Train(context.Background()))
		tr.Close()

		var ids []uint32
		nats := 0.0
		e, err := Evaluate(t.Context(), dev, tr.Run.Dir, EvalOptions{Data: "text:" + file, Options: eval.Options{Each: func(p infer.TokenLogProb) error {
			ids = append(ids, p.Token)
			nats -= p.LogProb
			return nil
		}}})
		require.NoError(t, err)
		require.Len(t, e.Scores, 1)
		got := e.Scores[0]
		tok, err := tokenizer.Load(filepath.Join(tr.Run.CheckpointDir(2)))
		require.NoError(t, err)
		eos, _ := tok.EOS()
		read := strings.ReplaceAll(tok.Decode(ids), tok.Decode([]uint32{eos}), "")
		require.Contains(t, text.String(), read, "the bytes are those of the text")
		require.Greater(t, len(read), text.Len()-16*20, "all windows are read")
		require.Equal(t, len(read), got.Count)
		require.InEpsilon(t, nats/math.Log(2)/float64(len(read)), got.Value, 1e-9)
		require.Equal(t, runs.BitsPerByte, got.Name)
		// No tokenizer makes an untrained model better than chance by much, or worse.
		require.InDelta(t, math.Log2(float64(vocab))*float64(len(ids))/float64(len(read)), got.Value, 0.5)
		t.Logf("%d tokens: loss %.3f, %.3f %s over %d", vocab, float64(e.Loss), got.Value, got.Name, got.Count)

		raw := filepath.Join(t.TempDir(), "ids.u16")
		var bytes []byte
		for _, id := range ids {
			bytes = append(bytes, byte(id), byte(id>>8))
		}
		require.NoError(t, os.WriteFile(raw, bytes, 0o600))
		e, err = Evaluate(t.Context(), dev, tr.Run.Dir, EvalOptions{Data: "tokens:" + raw})
		require.NoError(t, err)
		require.Positive(t, e.Tokens)
		require.Empty(t, e.Scores, "nothing is known of the bytes of ids")
	}
}
