package export

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/modelfile/gguf"
	"bitnet/bitnet/modelfile/modelfiletest"
	"bitnet/data/tokenizer"
)

func export(t *testing.T, from string, o Options) (*Result, error) {
	o.Check, o.Verify = true, true
	return Export(context.Background(), from, o)
}

// Every form is read again as the model that it was made of.
func TestExport(t *testing.T) {
	for _, packed := range []bool{false, true} {
		dir := modelfiletest.Dir(t, packed, nil)
		want, err := modelfile.ReadWeights(dir)
		require.NoError(t, err)
		for _, format := range []string{"hf", "hf-packed"} {
			if packed && format == "hf" {
				continue
			}
			out := filepath.Join(t.TempDir(), "new", "model")
			e, err := export(t, dir, Options{Format: format, Out: out})
			require.NoError(t, err)
			require.Equal(t, len(want.Float)+len(want.Ternary), e.Tensors)
			require.Zero(t, e.Verified.Largest)
			got, err := modelfile.ReadWeights(out)
			require.NoError(t, err)
			require.Equal(t, want, got)
			for _, f := range append(e.Files, filepath.Join(out, "tokenizer.json")) {
				require.FileExists(t, f)
			}
			_, err = modelfile.ReadTrainable(out)
			require.Equal(t, format == "hf", err == nil, "float masters can be trained on")
		}
		for _, typ := range []string{"f32", "f16"} {
			out := filepath.Join(t.TempDir(), "new", "m.gguf")
			e, err := export(t, dir, Options{Format: "gguf", Type: typ, Out: out})
			require.NoError(t, err)
			require.Equal(t, []string{out, filepath.Join(filepath.Dir(out), "Modelfile")}, e.Files)
			got, _, err := readGGUF(out)
			require.NoError(t, err)
			require.Equal(t, want.Ternary, got.Ternary)
			require.Equal(t, want.Config, got.Config)
			if typ == "f32" {
				require.Equal(t, want.Float, got.Float)
				require.Zero(t, e.Verified.Largest)
			}
		}
	}
}

// A golden model of widths that blocks fit, from packed weights.
func TestExportBlocks(t *testing.T) {
	dir := modelfiletest.Dir(t, true, nil)
	want, err := modelfile.ReadWeights("../../testdata/tictactoe")
	require.NoError(t, err)
	e, err := export(t, "../../testdata/tictactoe", Options{Format: "gguf", Out: filepath.Join(dir, "x")})
	require.NoError(t, err)
	require.Equal(t, "q4_0", e.Type, "the widths are multiples of 128")
	got, vocab, err := readGGUF(filepath.Join(dir, "x", "model.gguf"))
	require.NoError(t, err)
	require.Equal(t, want.Ternary, got.Ternary)
	require.Len(t, vocab.tokens, want.Config.VocabSize)
	require.Equal(t, "[PAD13]", vocab.tokens[13])
	require.EqualValues(t, unusedKind, vocab.kinds[13])

	text, err := os.ReadFile(filepath.Join(dir, "x", "Modelfile"))
	require.NoError(t, err)
	require.Equal(t, modelfileMark+"FROM ./model.gguf\nPARAMETER num_ctx 48\nTEMPLATE \"\"\"<s>{{ .Prompt }}\"\"\"\nPARAMETER stop \"</s>\"\n", string(text))
}

func TestExportMistakes(t *testing.T) {
	dir, packed := modelfiletest.Dir(t, false, nil), modelfiletest.Dir(t, true, nil)
	odd := modelfiletest.Dir(t, false, func(c *modelfile.HFConfig, m modelfiletest.Model) {
		c.IntermediateSize = 13
		for _, s := range c.Tensors() {
			m[s.Name] = modelfiletest.NewTensor("F32", s.Shape, make([]byte, 4*s.Shape[0]*append(s.Shape, 1)[1]))
		}
	})
	relu := modelfiletest.Dir(t, false, func(c *modelfile.HFConfig, _ modelfiletest.Model) { c.HiddenAct = "relu2" })
	large := modelfiletest.Dir(t, false, func(_ *modelfile.HFConfig, m modelfiletest.Model) {
		copy(m[modelfile.EmbeddingName].Data, modelfiletest.Floats(1e5))
	})
	bare := modelfiletest.Dir(t, false, nil)
	require.NoError(t, os.Remove(filepath.Join(bare, "tokenizer.json")))
	other := modelfiletest.Dir(t, false, nil)
	tok, err := tokenizer.Characters("abcdefgh")
	require.NoError(t, err)
	require.NoError(t, tok.Save(other))
	taken := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(taken, "Modelfile"), []byte("FROM llama3\n"), 0o644))

	for want, row := range map[string]struct {
		from string
		o    Options
	}{
		"onnx: choose one of hf, hf-packed, gguf": {dir, Options{Format: "onnx", Out: "x"}},
		"--output":                             {dir, Options{Format: "hf"}},
		"--type works only with --format gguf": {dir, Options{Format: "hf", Type: "f32", Out: "x"}},
		"q8_0: choose one of f32":              {dir, Options{Format: "gguf", Type: "q8_0", Out: "x"}},
		"multiples of 256: use --type f16":     {dir, Options{Format: "gguf", Type: "tq2_0", Out: "x"}},
		"without float masters: export with --format hf-packed or gguf": {packed, Options{Format: "hf", Out: "x"}},
		"it cannot be packed":                {odd, Options{Format: "hf-packed", Out: "x"}},
		"--force":                            {relu, Options{Format: "gguf", Type: "f32", Out: "x"}},
		"too large for F16":                  {large, Options{Format: "gguf", Type: "f16", Out: "x"}},
		"needs a tokenizer":                  {bare, Options{Format: "gguf", Out: "x"}},
		"they do not belong together":        {other, Options{Format: "hf", Out: "x"}},
		"exists: choose a new name":          {dir, Options{Format: "hf", Out: taken}},
		"was not written by bitnet":          {dir, Options{Format: "gguf", Out: taken}},
		"there is no run":                    {filepath.Join(dir, "nothing"), Options{Format: "hf", Out: "x"}},
		"is a file":                          {filepath.Join(dir, "config.json"), Options{Format: "hf", Out: "x"}},
		"neither a run nor a checkpoint nor": {taken, Options{Format: "hf", Out: "x"}},
	} {
		t.Run(want, func(t *testing.T) {
			out := t.TempDir()
			if row.o.Out == "x" {
				row.o.Out = filepath.Join(out, "x")
			}
			_, err := export(t, row.from, row.o)
			require.ErrorContains(t, err, want)
			require.NotContains(t, err.Error(), "\n")
			_ = filepath.WalkDir(out, func(path string, d os.DirEntry, err error) error {
				require.True(t, err == nil && d.IsDir(), "%s was left behind", path)
				return nil
			})
		})
	}

	out := filepath.Join(t.TempDir(), "m.gguf")
	var notes []string
	_, err = export(t, relu, Options{Format: "gguf", Out: out, Force: true, Note: func(s string) { notes = append(notes, s) }})
	require.NoError(t, err)
	require.Contains(t, strings.Join(notes, "\n"), "wrong answers")
}

// Check finds every kind of difference.
func TestExportCheck(t *testing.T) {
	read := func() *modelfile.Weights {
		w, err := modelfile.ReadWeights("../../testdata/golden/packed")
		require.NoError(t, err)
		return w
	}
	e := &exporter{weights: read()}
	require.NoError(t, e.compare(read()))
	for want, change := range map[string]func(w *modelfile.Weights){
		"configuration":             func(w *modelfile.Weights) { w.Config.Heads = 1 },
		"tensors, not":              func(w *modelfile.Weights) { delete(w.Float, modelfiletest.Norm) },
		"elements, not":             func(w *modelfile.Weights) { w.Float[modelfiletest.Norm] = nil },
		"at element 2":              func(w *modelfile.Weights) { w.Float[modelfiletest.Norm][2] += 1e-6 },
		"different ternary weights": func(w *modelfile.Weights) { w.Ternary[modelfiletest.Projection].Codes[7] ^= 1 },
		"has the scale":             func(w *modelfile.Weights) { w.Ternary[modelfiletest.Projection].Scale *= 1.000001 },
		"a different shape":         func(w *modelfile.Weights) { w.Ternary[modelfiletest.Projection].Rows++ },
	} {
		w := read()
		change(w)
		require.ErrorContains(t, e.compare(w), want)
	}
}

// What llama.cpp will do otherwise is said.
func TestGGUFVocabNotes(t *testing.T) {
	tok, err := tokenizer.Characters("abc")
	require.NoError(t, err)
	var notes []string
	v, err := newGGUFVocab(tok, 9, func(s string) { notes = append(notes, s) })
	require.NoError(t, err)
	require.Len(t, notes, 1)
	require.Contains(t, notes[0], "only 3 of 256 bytes")
	require.Equal(t, []string{"<pad>", "<s>", "</s>", "<unk>", "a", "b", "c", "[PAD7]", "[PAD8]"}, v.tokens)
	require.Equal(t, []int32{3, 3, 3, 3, 1, 1, 1, 5, 5}, v.kinds)
	var keys []string
	for _, kv := range v.keys() {
		keys = append(keys, kv.Key)
	}
	require.Contains(t, keys, "tokenizer.ggml.padding_token_id")
	require.Contains(t, v.keys(), gguf.KeyValue{Key: "tokenizer.ggml.add_bos_token", Value: false})
}
