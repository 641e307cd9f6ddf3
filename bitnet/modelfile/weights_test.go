package modelfile_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/modelfile/safetensors"
)

// Our codes are those of the float64 reference, ties included.
func TestQuantizeGolden(t *testing.T) {
	f, err := safetensors.Open("../../testdata/golden/quantize_weights.safetensors")
	require.NoError(t, err)
	defer f.Close()
	n := 0
	for _, info := range f.Tensors() {
		if info.Name[len(info.Name)-2:] != ".w" {
			continue
		}
		n++
		name := info.Name[:len(info.Name)-2]
		w := make([]float32, info.Elements())
		require.NoError(t, f.Float32s(info.Name, w))
		q, err := f.Ints(name + ".q")
		require.NoError(t, err)
		mean, err := f.Float64s(name + ".absmean")
		require.NoError(t, err)
		m := modelfile.Quantize(w, info.Shape[0], info.Shape[1])
		require.InEpsilon(t, mean[0], m.Scale, 1e-7, name)
		row := make([]int8, m.Cols)
		for r := range m.Rows {
			m.Row(r, row)
			for k, v := range row {
				require.EqualValues(t, q[r*m.Cols+k], v, "%s [%d, %d]", name, r, k)
			}
			for k := m.Cols; k < 4*m.Stride(); k++ {
				require.EqualValues(t, 1, m.Codes[r*m.Stride()+k/4]>>(2*(k%4))&3, "padding")
			}
		}
	}
	require.Equal(t, 8, n)
}

func TestReadWeights(t *testing.T) {
	online, err := modelfile.ReadWeights("../../testdata/golden/train/init")
	require.NoError(t, err)
	require.Len(t, online.Ternary, 14)
	require.Len(t, online.Float, 10)
	packed, err := modelfile.ReadWeights("../../testdata/golden/packed")
	require.NoError(t, err)
	require.Equal(t, online.Config, packed.Config)
	require.Len(t, packed.Ternary, 14)
}
