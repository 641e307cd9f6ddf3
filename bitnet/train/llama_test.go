package train

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/modelfile/modelfiletest"
)

// A run that begins with a float model of the Llama form has its weights as
// masters, sub-norms of ones, and checkpoints that are BitNet models.
func TestInitFromLlama(t *testing.T) {
	dev := modeltest.Device(t)
	c := tiny(t)
	for _, s := range []string{"steps=1", "grad_accum=1", "learning_rate=1e-12", "weight_decay=0", "warmup_steps=0", "checkpoint_interval=0"} {
		require.NoError(t, c.Set(s))
	}
	c.Model.NormEps = 1e-6
	dir := t.TempDir()
	config := map[string]any{"model_type": "llama", "architectures": []string{"LlamaForCausalLM"}, "tie_word_embeddings": true, "rope_scaling": nil}
	text, err := json.Marshal(c.Model)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &config))
	text, err = json.Marshal(config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), text, 0o644))
	weights, files := map[string][]float32{}, modelfiletest.Model{}
	for _, s := range c.Model.Tensors() {
		n := 1
		for _, d := range s.Shape {
			n *= d
		}
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(0.1 * math.Sin(float64(7*i+len(s.Name))))
			if len(s.Shape) == 1 {
				values[i]++
			}
		}
		if strings.Contains(s.Name, "sub_norm") {
			for i := range values {
				values[i] = 1
			}
		} else {
			files[s.Name] = modelfiletest.NewTensor("F32", s.Shape, modelfiletest.Floats(values...))
		}
		weights[s.Name] = values
	}
	files.WriteTensors(t, filepath.Join(dir, modelfile.WeightsName))

	got, err := modelfile.ReadTrainable(dir)
	require.NoError(t, err)
	require.Equal(t, c.Model, got)
	var notes []string
	tr := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "float", Init: dir}, Events{Note: func(s string) { notes = append(notes, s) }})
	require.Contains(t, strings.Join(notes, "\n"), "is a float model: its projections become ternary")
	require.NoError(t, tr.Train(t.Context()))
	made, err := modelfile.Resolve(t.Context(), "", tr.Run.Dir, func(string) {})
	require.NoError(t, err)
	w, err := modelfile.ReadWeights(made)
	require.NoError(t, err, "a BitNet model")
	for _, s := range c.Model.Tensors() {
		if s.Ternary {
			want := modelfile.Quantize(weights[s.Name], s.Shape[0], s.Shape[1])
			require.Equal(t, want.Codes, w.Ternary[s.Name].Codes, s.Name)
			require.InEpsilon(t, want.Scale, w.Ternary[s.Name].Scale, 1e-5, s.Name)
			continue
		}
		require.InDeltaSlice(t, weights[s.Name], w.Float[s.Name], 1e-6, s.Name)
	}
}
