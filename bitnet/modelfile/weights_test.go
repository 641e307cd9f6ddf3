package modelfile_test

import (
	"math"
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

// A weight is clamp(round(w / s), -1, 1), ties to even, whatever the length of a row.
func TestQuantizeRounds(t *testing.T) {
	values := []float32{0, 0.5, -0.5, math.Nextafter32(0.5, 1), math.Nextafter32(-0.5, -1), 0.49, -0.49, 1, -1, 1.5, -1.5, 3e38, -3e38, 1e-45}
	for cols := 1; cols <= 9; cols++ {
		for _, scale := range []float32{1, 0.25, 1e-5} {
			w := make([]float32, 7*cols)
			for i := range w {
				w[i] = values[(i+cols)%len(values)]
			}
			m := modelfile.QuantizeWith(w, 7, cols, scale)
			want := modelfile.NewTernaryMatrix(7, cols)
			for r := range 7 {
				codes := make([]byte, cols)
				for k, v := range w[r*cols:][:cols] {
					codes[k] = byte(1 + max(min(math.RoundToEven(float64(v*(1/scale))), 1), -1))
				}
				want.SetRow(r, codes)
			}
			require.Equal(t, want.Codes, m.Codes, "%d columns, scale %v", cols, scale)
		}
	}
	w := make([]float32, 7*5)
	sum := 0.0
	for r := range 7 {
		row := 0.0
		for k := range 5 {
			w[5*r+k] = float32(r-3) * 0.1 * float32(k+1)
			row += math.Abs(float64(w[5*r+k]))
		}
		sum += row
	}
	require.Equal(t, float32(sum/35), modelfile.Quantize(w, 7, 5).Scale)
}
