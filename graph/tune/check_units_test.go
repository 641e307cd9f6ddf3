package tune

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/gpu/gputest"
	"bitnet/shaders"
)

// Matrix units that compute rightly pass, and kernels that compute anything
// else, or do not compile, are found.
func TestCheckMatrixUnits(t *testing.T) {
	onMatrixUnits(t, func(t *testing.T, dev *gpu.Device) {
		small := [][3]int{{70, 72, 80}} // the large ones of CheckUnits take software minutes
		faults, err := checkUnits(dev, small, func(s shaders.Source) shaders.Source { return s })
		require.NoError(t, err)
		require.Empty(t, faults)

		for name, c := range map[string]struct{ family, old, new, what string }{
			"one row too far":    {"matmul/matrix", "fill_a(m0, ", "fill_a(m0 + 1u, ", "c[0, 0] is"},
			"nothing is written": {"matmul/matrix", "fn main(", "fn main2(", "main"},
			"bytes in disorder":  {"matmul/packed", "dot4I8Packed(a0.x", "dot4I8Packed(a0.y", "c[0, 0] is"},
		} {
			faults, err := checkUnits(dev, small, func(s shaders.Source) shaders.Source {
				if s.Family == c.family {
					require.Contains(t, s.Code, c.old)
					s.Code = strings.Replace(s.Code, c.old, c.new, 1)
				}
				return s
			})
			require.NoError(t, err, name)
			if c.family == "matmul/packed" && !dev.Adapter().Has(gpu.PackedDot) {
				continue
			}
			require.Len(t, faults, 1, name)
			require.Equal(t, map[string]string{"matmul/matrix": gpu.SubgroupMatrix, "matmul/packed": gpu.PackedDot}[c.family], faults[0].Feature)
			require.Contains(t, faults[0].What, c.what, name)
			require.NotContains(t, faults[0].What, "\n")
		}
	})
}

// Where there is nothing to check, nothing is wrong.
func TestCheckNoUnits(t *testing.T) {
	all, err := gputest.Devices()
	require.NoError(t, err)
	for _, dev := range all {
		if a := dev.Adapter(); !a.Has(gpu.SubgroupMatrix) && !a.Has(gpu.PackedDot) {
			faults, err := CheckUnits(dev)
			require.NoError(t, err)
			require.Empty(t, faults)
		}
	}
}
