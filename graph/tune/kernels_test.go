package tune

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/gpu/gputest"
)

// Every kernel of a step is timed once; those of a micro-batch count as often as
// there are micro-batches, those of the update once.
func TestKernels(t *testing.T) {
	gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
		ps, plan := model(t, dev.Adapter())
		require.NoError(t, ps.Allocate(dev))
		defer ps.Release()
		program, err := plan.Compile(dev)
		require.NoError(t, err)
		defer program.Release()
		require.NoError(t, program.Load(make([]uint32, 40), make([]uint32, 40), 20))

		const accum = 3
		costs, leftOut, err := Kernels(t.Context(), dev, program, accum, 0)
		require.Zero(t, leftOut)
		require.NoError(t, err)
		calls, seen := 0, map[string]bool{}
		for _, k := range costs {
			calls += k.Calls
			require.Positive(t, k.Seconds, k.Kernel)
			require.LessOrEqual(t, k.Fastest, k.Seconds, k.Kernel)
			require.Positive(t, k.Bytes, k.Kernel)
			require.Equal(t, k.Op == "update" || k.Op == "quantize weights", k.Calls%accum != 0, "%s: %s is called %d times", k.Op, k.Kernel, k.Calls)
			seen[k.Op] = true
			if k.Op == "embedding" { // it reads 40 rows of the table of 20, and ids
				require.Less(t, k.Bytes, int64(4*(40*32+20*32+2*40+1)))
			}
		}
		require.Equal(t, plan.Dispatches(accum), calls)
		for _, op := range []string{"embedding", "norm+quantize", "bitlinear", "head", "update", "quantize weights"} {
			require.True(t, seen[op], op)
		}

		// Without time, the kernel with the most work is timed, and the rest counted.
		few, leftOut, err := Kernels(t.Context(), dev, program, accum, 1)
		require.NoError(t, err)
		require.Len(t, few, 1)
		require.Positive(t, few[0].Seconds)
		require.Equal(t, len(costs)-1, leftOut)
		for _, k := range costs {
			require.LessOrEqual(t, float64(k.Calls)*k.Flops, max(float64(few[0].Calls)*few[0].Flops, 10*float64(few[0].Calls)*float64(few[0].Bytes)), k.Kernel)
		}

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _, err = Kernels(ctx, dev, program, accum, 0)
		require.ErrorIs(t, err, context.Canceled)
	})
}
