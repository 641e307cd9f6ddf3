package export

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/model"
	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/modelfile/gguf"
	"bitnet/bitnet/modelfile/safetensors"
	"bitnet/data/tokenizer"
	"bitnet/gpu"
)

// mergedPlainly are the projections of a model and its adapter as one matrix each, in
// float64: scale * code + alpha/r sum_j b[n, j] a[j, k].
func mergedPlainly(w *modelfile.Weights, a *modelfile.Adapter) map[string][]float64 {
	out := map[string][]float64{}
	for name, m := range w.Ternary {
		values, row := make([]float64, m.Rows*m.Cols), make([]int8, m.Cols)
		for n := range m.Rows {
			m.Row(n, row)
			for k, code := range row {
				sum := 0.0
				for j := range a.Rank {
					sum += float64(a.B[name][n*a.Rank+j]) * float64(a.A[name][j*m.Cols+k])
				}
				values[n*m.Cols+k] = float64(m.Scale)*float64(code) + a.Alpha/float64(a.Rank)*sum
			}
		}
		out[name] = values
	}
	return out
}

// furthest is the largest difference of two lists, relative to the larger of a value and
// least: float32 sums that cancel out are as exact as what they were made of.
func furthest(want []float64, least float32, got func(i int) float64) float64 {
	most := 0.0
	for i, v := range want {
		most = max(most, math.Abs(v-got(i))/max(math.Abs(v), float64(least)))
	}
	return most
}

func exportFloat(t *testing.T, adapter string, o Options) (*Result, error) {
	t.Helper()
	o.Adapter, o.Merge, o.Float, o.Note = adapter, true, true, func(string) {}
	return Export(context.Background(), tictactoe, o)
}

// The float model computes what the ternary one does with its adapter, but for the
// rounding of activations, in a folder and on a device.
func TestExportFloat(t *testing.T) {
	adapter := randomAdapter(t)
	w, a, err := modelfile.ReadSource(modelfile.Source{Dir: tictactoe, Adapter: adapter})
	require.NoError(t, err)
	ids := []uint32{1, 5, 6, 7, 8, 4, 9}
	adapted, err := w.ForwardAdapted(a, ids, modelfile.PerToken)
	require.NoError(t, err)
	unrounded, err := w.ForwardAdapted(a, ids, modelfile.Unrounded)
	require.NoError(t, err)

	dev := modeltest.Device(t)
	called := false
	out := filepath.Join(t.TempDir(), "float")
	result, err := exportFloat(t, adapter, Options{Format: "hf", Out: out, Check: true, Verify: true,
		Merged: func(load func(*gpu.Device) (*model.Model, error)) error {
			called = true
			m, err := load(dev)
			require.NoError(t, err)
			defer m.Release()
			g, err := infer.NewGenerator(m, 1, 16)
			require.NoError(t, err)
			defer g.Release()
			logits, err := g.Feed(t.Context(), [][]uint32{ids})
			require.NoError(t, err)
			for i, v := range unrounded[len(ids)-1] {
				require.InDelta(t, v, float64(logits[0][i]), 1e-3)
			}
			return nil
		}})
	require.NoError(t, err)
	require.True(t, called)
	require.Equal(t, 35, result.Tensors)
	require.Positive(t, result.Verified.Largest, "activations are rounded no more")
	require.Less(t, result.Verified.Largest, 2.0)
	require.Empty(t, result.Verified.Elsewhere)

	// The folder, read without the code under test.
	var config map[string]any
	text, err := os.ReadFile(filepath.Join(out, "config.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &config))
	require.NotContains(t, config, "quantization_config")
	require.Equal(t, "bitnet", config["model_type"])
	require.Equal(t, "float32", config["torch_dtype"])
	require.FileExists(t, filepath.Join(out, "tokenizer.json"))
	file, err := safetensors.Open(filepath.Join(out, modelfile.WeightsName))
	require.NoError(t, err)
	defer file.Close()
	for name, want := range mergedPlainly(w, a) {
		got := make([]float32, len(want))
		require.NoError(t, file.Float32s(name, got))
		require.Less(t, furthest(want, w.Ternary[name].Scale, func(i int) float64 { return float64(got[i]) }), 1e-6, name)
	}
	for name, want := range w.Float {
		got := make([]float32, len(want))
		require.NoError(t, file.Float32s(name, got))
		require.Equal(t, want, got)
	}

	read, err := readFloatHF(out)
	require.NoError(t, err)
	logits, err := read.Forward(ids, modelfile.Unrounded)
	require.NoError(t, err)
	same, _ := gap(unrounded, logits)
	require.Less(t, same, 1e-4)
	change, _ := gap(adapted, logits)
	require.Greater(t, change, same)

	_, err = modelfile.ReadWeights(out)
	require.ErrorContains(t, err, "export --merge --float")
}

// A GGUF file holds the merged matrices in F16, the default, or F32, and no scales.
func TestExportFloatGGUF(t *testing.T) {
	adapter := randomAdapter(t)
	w, a, err := modelfile.ReadSource(modelfile.Source{Dir: tictactoe, Adapter: adapter})
	require.NoError(t, err)
	for name, asked := range map[string]string{"f16": "", "f32": "f32"} {
		path := filepath.Join(t.TempDir(), "m.gguf")
		result, err := exportFloat(t, adapter, Options{Format: "gguf", Type: asked, Out: path, Check: true, Verify: true})
		require.NoError(t, err)
		require.Equal(t, name, result.Type)
		require.Equal(t, ggufTypes[name].rounding, result.Verified.Elsewhere)
		require.Less(t, result.Verified.ElsewhereLargest, 2.0)
		f, err := gguf.Open(path)
		require.NoError(t, err)
		defer f.Close()
		for projection, want := range mergedPlainly(w, a) {
			tensor := ggufName(projection) + ".weight"
			info, ok := f.Info(tensor)
			require.True(t, ok)
			require.Equal(t, ggufTypes[name].tensor, info.Type)
			_, ok = f.Info(ggufName(projection) + ".scale")
			require.False(t, ok)
			raw, err := f.Bytes(tensor)
			require.NoError(t, err)
			if name == "f32" {
				require.Less(t, furthest(want, w.Ternary[projection].Scale, func(i int) float64 {
					return float64(math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])))
				}), 1e-6)
			} else { // half a unit in the last of 11 bits
				require.Less(t, furthest(want, w.Ternary[projection].Scale, func(i int) float64 { return float64(gguf.Float(binary.LittleEndian.Uint16(raw[2*i:]))) }), 1.01/2048)
			}
		}
	}
}

func TestExportFloatRefuses(t *testing.T) {
	adapter := randomAdapter(t)
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Format: "hf", Float: true}, "use it with --merge"},
		{Options{Format: "hf", Float: true, Adapter: adapter}, "use it with --merge"},
		{Options{Format: "hf", Float: true, Merge: true}, "--merge needs an adapter"},
		{Options{Format: "peft", Float: true, Merge: true, Adapter: adapter}, "not with peft"},
		{Options{Format: "hf-packed", Float: true, Merge: true, Adapter: adapter}, "cannot be packed"},
		{Options{Format: "gguf", Float: true, Merge: true, Adapter: adapter, ForLoRA: true}, "without it"},
		{Options{Format: "gguf", Type: "q4_0", Float: true, Merge: true, Adapter: adapter}, "use f16 or f32"},
	} {
		c.o.Out = filepath.Join(t.TempDir(), "out.gguf")
		_, err := Export(context.Background(), tictactoe, c.o)
		require.ErrorContains(t, err, c.want)
		require.NoFileExists(t, c.o.Out)
	}
}

// A damaged export is noticed, and does not get its name.
func TestExportFloatChecks(t *testing.T) {
	adapter := randomAdapter(t)
	defer func() { written = func(string) {} }()
	written = func(path string) {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			path = filepath.Join(path, modelfile.WeightsName)
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		require.NoError(t, err)
		defer f.Close()
		info, err := f.Stat()
		require.NoError(t, err)
		var b [2]byte // part of a norm or of a projection
		_, err = f.ReadAt(b[:], info.Size()-2)
		require.NoError(t, err)
		b[0] ^= 1
		_, err = f.WriteAt(b[:], info.Size()-2)
		require.NoError(t, err)
	}
	for _, format := range []string{"hf", "gguf"} {
		out := filepath.Join(t.TempDir(), "m.gguf")
		_, err := exportFloat(t, adapter, Options{Format: format, Out: out, Check: true})
		require.ErrorContains(t, err, "has different values")
		require.NoFileExists(t, out)
	}
}

// Weights that F16 cannot hold are refused before anything is measured or written.
func TestExportFloatTooLarge(t *testing.T) {
	adapter := randomAdapter(t)
	w, err := modelfile.ReadWeights(tictactoe)
	require.NoError(t, err)
	path := filepath.Join(adapter, modelfile.AdapterWeightsName)
	_, a, err := modelfile.ReadSource(modelfile.Source{Dir: tictactoe, Adapter: adapter})
	require.NoError(t, err)
	var tensors []safetensors.Tensor
	for _, s := range w.Config.Tensors() {
		if s.Ternary {
			nameA, nameB := modelfile.AdapterNames(s.Name)
			a.B[s.Name][0] = 1e6
			tensors = append(tensors, safetensors.Float32(nameA, []int{a.Rank, s.Shape[1]}, a.A[s.Name]),
				safetensors.Float32(nameB, []int{s.Shape[0], a.Rank}, a.B[s.Name]))
		}
	}
	require.NoError(t, safetensors.Write(path, tensors, nil))
	out := filepath.Join(t.TempDir(), "m.gguf")
	_, err = exportFloat(t, adapter, Options{Format: "gguf", Out: out, Merged: func(load func(*gpu.Device) (*model.Model, error)) error {
		_, err := load(modeltest.Device(t))
		return err
	}})
	require.ErrorContains(t, err, "too large for F16: use --type f32")
	require.NoFileExists(t, out)
}

// Stock llama.cpp and PyTorch compute the float model as our forward pass does.
func interopFloat(t *testing.T) {
	adapter := randomAdapter(t)
	tok, err := tokenizer.Load(tictactoe)
	require.NoError(t, err)
	ids, err := tok.Encode("<s>5172")
	require.NoError(t, err)
	for _, name := range []string{"f32", "f16"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "m.gguf")
			_, err := exportFloat(t, adapter, Options{Format: "gguf", Type: name, Out: path, Check: true})
			require.NoError(t, err)
			f, _, err := readFloatGGUF(path, "silu")
			require.NoError(t, err)
			const count = 5
			answer := askLlama(t, path, []string{}, ids, ids[:1], count)
			ours, err := f.Forward(ids, ggufTypes[name].rounding)
			require.NoError(t, err)
			same, _ := gap(ours, answer.logits)
			t.Logf("%s: logits differ by %.2g", name, same)
			require.Less(t, same, interopSame)
			next := append([]uint32{}, ids[:1]...)
			for range count {
				logits, err := f.Forward(next, ggufTypes[name].rounding)
				require.NoError(t, err)
				next = append(next, uint32(argmax(logits[len(logits)-1])))
			}
			require.Equal(t, next[1:], answer.Next)
		})
	}
	t.Run("pytorch", func(t *testing.T) {
		python, out := pythonWithTorch(t), filepath.Join(t.TempDir(), "float")
		_, err := exportFloat(t, adapter, Options{Format: "hf", Out: out})
		require.NoError(t, err)
		c := exec.Command(python, "../../testdata/reference.py", "logprobs", "--model", out, "--ids", "1,8,4,6,5", "--dtype", "f64")
		c.Stderr = os.Stderr
		text, err := c.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, c.Start())
		ids := []uint32{1, 8, 4, 6, 5}
		f, err := readFloatHF(out)
		require.NoError(t, err)
		logits, err := f.Forward(ids, modelfile.Unrounded)
		require.NoError(t, err)
		lines := 0
		for d := json.NewDecoder(text); d.More(); lines++ {
			var theirs infer.TokenLogProb
			require.NoError(t, d.Decode(&theirs))
			require.Equal(t, ids[theirs.Position], theirs.Token)
			require.InDelta(t, logProb(logits[theirs.Position-1], theirs.Token), theirs.LogProb, 1e-6)
		}
		require.NoError(t, c.Wait())
		require.Equal(t, len(ids)-1, lines)
	})
}

// logProb is the log-probability of a token.
func logProb(logits []float64, token uint32) float64 {
	most, sum := logits[argmax(logits)], 0.0
	for _, v := range logits {
		sum += math.Exp(v - most)
	}
	return logits[token] - most - math.Log(sum)
}
