package export

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/eval"
	"bitnet/bitnet/infer"
	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/train"
	"bitnet/data/tokenizer"
)

// llamaInstallation finds llama.cpp for node, which make interop installs.
func llamaInstallation(t *testing.T) string {
	dir := os.Getenv("BITNET_INTEROP")
	if dir == "" {
		cache, err := os.UserCacheDir()
		require.NoError(t, err)
		dir = filepath.Join(cache, "bitnet", "interop-3.22.1")
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is missing; make interop says what to install")
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "node-llama-cpp")); err != nil {
		t.Skip("llama.cpp is not installed: run make interop")
	}
	return dir
}

type llamaAnswer struct {
	Tokens [][]uint32
	Back   []string
	Next   []uint32
	Vocab  int
	Chats  []struct{ IDs, Answer []uint32 }
	logits [][]float64
}

func askLlama(t *testing.T, model string, texts []string, ids, greedy []uint32, count int, chats ...[]infer.Message) llamaAnswer {
	return askLlamaWith(t, model, "", texts, ids, greedy, count, chats...)
}

// askLlamaWith is askLlama with a file of an adapter.
func askLlamaWith(t *testing.T, model, lora string, texts []string, ids, greedy []uint32, count int, chats ...[]infer.Message) llamaAnswer {
	installation, dir := llamaInstallation(t), t.TempDir()
	logits, job := filepath.Join(dir, "logits"), filepath.Join(dir, "job.json")
	text, err := json.Marshal(map[string]any{"model": model, "lora": lora, "texts": texts, "ids": ids, "greedy": greedy, "count": count, "logits": logits, "chats": chats})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(job, text, 0o644))
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "node", "../../testdata/interop/llama.mjs", installation, job)
	c.Stderr = os.Stderr
	out, err := c.Output()
	require.NoError(t, err, "%s", out)
	var a llamaAnswer
	require.NoError(t, json.Unmarshal(out, &a), "%s", out)
	raw, err := os.ReadFile(logits)
	require.NoError(t, err)
	require.Len(t, raw, 4*len(ids)*a.Vocab)
	for i := range ids {
		row := make([]float64, a.Vocab)
		for j := range row {
			row[j] = float64(math.Float32frombits(binary.LittleEndian.Uint32(raw[4*(i*a.Vocab+j):])))
		}
		a.logits = append(a.logits, row)
	}
	return a
}

// adversarial are texts on which tokenizers come apart.
var adversarial = []string{
	"", " ", "a", "hello world", "  two  spaces   three", "tabs\tand\nnewlines\n\n\nand\r\nreturns", "trailing space ", "\n", " \n ",
	"don't you'll WE'VE i'M", "x1 12 123 1234 3.14e-10", "naïve café e\u0301", "日本語とтекст", "👩‍👩‍👧‍👦 🇩🇪", "a\u00a0b\u2003c\u200bd",
	"func main() { fmt.Println(\"<s> is special\") }</s>", "<s>begin</s><pad>", "<S> < s > <|x|>", "\x00\x01 control \x7f", "ſ ǅ Ⅷ ½ ²", "ﷺ\ufeff",
}

// trainTiny trains a small model with a tokenizer of its own on Go's sources.
func trainTiny(t *testing.T, set ...string) string {
	dev := modeltest.Device(t)
	docs, texts := t.TempDir(), filepath.Join(runtime.GOROOT(), "src", "strings")
	found, err := filepath.Glob(filepath.Join(texts, "*.go"))
	require.NoError(t, err)
	if len(found) == 0 {
		t.Skip("the Go tree's sources are not here")
	}
	for i, f := range found {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(docs, fmt.Sprintf("%03d.txt", i)), b, 0o644))
	}
	c, err := train.Preset("text")
	require.NoError(t, err)
	for _, s := range append([]string{"data.source=text:" + docs, "data.dir=" + t.TempDir(), "vocab_size=512", "hidden_size=256", "intermediate_size=512",
		"num_hidden_layers=2", "num_attention_heads=4", "num_key_value_heads=2", "steps=150", "batch_size=8", "seq_len=32", "warmup_steps=4",
		"learning_rate=4e-3", "log_interval=20", "eval_interval=0", "sample_interval=0", "checkpoint_interval=0", "eval_samples=8", "prompts=[]"}, set...) {
		require.NoError(t, c.Set(s))
	}
	job, err := train.Prepare(context.Background(), c, train.Start{RunsDir: t.TempDir(), RunID: "tiny"}, train.Events{})
	require.NoError(t, err)
	trainer, err := job.Begin(context.Background(), dev)
	require.NoError(t, err)
	defer trainer.Close()
	require.NoError(t, trainer.Train(context.Background()))
	return trainer.Run.Dir
}

// Models that were trained here, in other people's programs.
func TestInterop(t *testing.T) {
	t.Run("shipped", func(t *testing.T) {
		texts := []string{"", "1", "123456789", "<s>5</s>", "<pad>9<unk>"}
		interopLlama(t, "../../testdata/tictactoe", []string{"f32", "f16", "q4_0"}, texts, "<s>5172", "<s>")
	})
	t.Run("trained", func(t *testing.T) {
		run := trainTiny(t)
		t.Run("llama", func(t *testing.T) {
			const text = "<s>func (b *Builder) WriteString(s string) (int, error) {\n\tb.copyCheck()\n\tb.buf = append(b.buf, s...)"
			interopLlama(t, run, Types, adversarial, text, "<s>func ")
		})
		t.Run("pytorch", func(t *testing.T) { interopPyTorch(t, run) })
		t.Run("chat", func(t *testing.T) { interopChat(t, run) })
	})
	t.Run("adapter", interopAdapter)
	t.Run("float", interopFloat)
}

// How far llama.cpp may be from our own forward. With its rounding of the
// activations only a code that rounds the other way makes a difference beyond
// float32's own; from the model, which rounds them per token, it is as far as
// its rounding is, and that is measured against the range of the logits.
const (
	interopF32   = 1e-4
	interopSame  = 2e-2
	interopModel = 0.05
)

// Stock llama.cpp finds the same tokens for texts, the same logits for text
// and the same continuation of prompt, for every type of file.
func interopLlama(t *testing.T, path string, types, texts []string, text, prompt string) {
	llamaInstallation(t)
	dir, err := modelfile.Resolve(context.Background(), "", path, nil)
	require.NoError(t, err)
	model, err := modelfile.ReadWeights(dir)
	require.NoError(t, err)
	tok, err := tokenizer.Load(dir)
	require.NoError(t, err)
	encode := func(s string) []uint32 {
		ids, err := tok.Encode(s)
		require.NoError(t, err)
		return append([]uint32{}, ids...)
	}
	ids := encode(text)
	truth, err := model.Forward(ids, modelfile.PerToken)
	require.NoError(t, err)
	least, most := truth[0][0], truth[0][0]
	for _, row := range truth {
		least, most = min(least, slices.Min(row)), max(most, slices.Max(row))
	}
	for _, name := range types {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "model.gguf")
			e, err := Export(context.Background(), dir, Options{Format: "gguf", Type: name, Out: out, Check: true})
			require.NoError(t, err)
			require.Equal(t, len(model.Float)+len(model.Ternary), e.Tensors)
			written, _, err := readGGUF(out)
			require.NoError(t, err)

			const count = 24
			a := askLlama(t, out, texts, ids, encode(prompt), count)
			require.Equal(t, model.Config.VocabSize, a.Vocab)
			for i, s := range texts {
				require.Equal(t, encode(s), append([]uint32{}, a.Tokens[i]...), "%q", s)
				require.Equal(t, s, a.Back[i])
			}
			rounding := ggufTypes[name].rounding
			ours, err := written.Forward(ids, rounding)
			require.NoError(t, err)
			same, _ := gap(ours, a.logits)
			far, likeliest := gap(truth, a.logits)
			t.Logf("%s: logits, %.1f to %.1f, differ by %.2g from the same arithmetic, by %.2g from the model; total variation from it %.4f; likeliest token the same at %d of %d",
				name, least, most, same, far, variation(truth, a.logits), likeliest, len(ids))
			if name == "f32" {
				require.Less(t, same, interopF32)
			}
			require.Less(t, same, interopSame)
			require.Less(t, far, interopModel*(most-least))

			next := encode(prompt)
			for range count {
				logits, err := written.Forward(next, rounding)
				require.NoError(t, err)
				next = append(next, uint32(argmax(logits[len(logits)-1])))
			}
			t.Logf("%q", tok.Decode(next))
			require.Equal(t, next[len(encode(prompt)):], a.Next)
		})
	}
}

// PyTorch, from config.json and model.safetensors alone, finds the
// log-probabilities that the training graph's kernels find.
func interopPyTorch(t *testing.T, run string) {
	python := pythonWithTorch(t)
	dev := modeltest.Device(t)
	dir, err := modelfile.Resolve(context.Background(), "", run, nil)
	require.NoError(t, err)
	tok, err := tokenizer.Load(dir)
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(runtime.GOROOT(), "src", "strings", "builder.go"))
	require.NoError(t, err)
	ids, err := tok.Encode("<s>" + string(text))
	require.NoError(t, err)
	const rows, seq = 16, 32
	require.Greater(t, len(ids), rows*seq)
	var raw []byte
	for _, id := range ids[:rows*seq+1] {
		raw = binary.LittleEndian.AppendUint16(raw, uint16(id))
	}
	data := filepath.Join(t.TempDir(), "ids.u16")
	require.NoError(t, os.WriteFile(data, raw, 0o644))
	var ours []infer.TokenLogProb
	each := func(p infer.TokenLogProb) error {
		ours = append(ours, p)
		return nil
	}
	_, err = train.Evaluate(context.Background(), dev, run, train.EvalOptions{
		Options: eval.Options{Each: each}, Data: "tokens:" + data, Note: func(s string) { t.Error(s) },
	})
	require.NoError(t, err)
	require.Len(t, ours, rows*seq)

	for _, format := range []string{"hf", "hf-packed"} {
		out := filepath.Join(t.TempDir(), format)
		_, err := Export(context.Background(), run, Options{Format: format, Out: out, Check: true, Note: func(s string) { t.Error(s) }})
		require.NoError(t, err)
		c := exec.Command(python, "../../testdata/reference.py", "logprobs", "--model", out, "--data", data, "--seq", fmt.Sprint(seq), "--dtype", "f64")
		c.Stderr = os.Stderr
		text, err := c.Output()
		require.NoError(t, err)
		var gaps []float64
		for d := json.NewDecoder(bytes.NewReader(text)); d.More(); {
			var theirs infer.TokenLogProb
			require.NoError(t, d.Decode(&theirs))
			p := ours[len(gaps)]
			require.Equal(t, [3]int{p.Row, p.Position, int(p.Token)}, [3]int{theirs.Row, theirs.Position, int(theirs.Token)})
			gaps = append(gaps, math.Abs(p.LogProb-theirs.LogProb))
		}
		require.Len(t, gaps, len(ours))
		slices.Sort(gaps)
		over := len(gaps) - sort.SearchFloat64s(gaps, 1e-4)
		t.Logf("%s: log-probabilities differ by %.2g in the median, by %.2g at most, by more than 1e-4 at %d of %d",
			format, gaps[len(gaps)/2], gaps[len(gaps)-1], over, len(gaps))
		// An activation that rounds the other way is a jump of 1/127 of its
		// token's range: PyTorch's own float32 and float64 differ so.
		require.Less(t, gaps[len(gaps)/2], 1e-5)
		require.LessOrEqual(t, over, len(gaps)*5/100)
		require.Less(t, gaps[len(gaps)-1], 5e-2)
	}
}

// pythonWithTorch finds a Python that has PyTorch; Debian's is not always the first.
func pythonWithTorch(t *testing.T) string {
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(python, "-c", "import torch, numpy").Run() == nil {
			return python
		}
	}
	t.Skip("PyTorch is missing (Debian: python3-torch libopenblas0-pthread)")
	return ""
}

// variation is the largest total variation distance between the softmaxes of rows.
func variation(a, b [][]float64) float64 {
	most := 0.0
	for t := range a {
		p, q, sum := softmax(a[t]), softmax(b[t]), 0.0
		for i := range p {
			sum += math.Abs(p[i]-q[i]) / 2
		}
		most = max(most, sum)
	}
	return most
}

func softmax(row []float64) []float64 {
	out, sum, most := make([]float64, len(row)), 0.0, slices.Max(row)
	for i, v := range row {
		out[i] = math.Exp(v - most)
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}
