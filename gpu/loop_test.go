package gpu_test

import (
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
)

// steps returns a program of n dispatches of step on x.
func steps(t testing.TB, d *gpu.Device, x *gpu.Buffer, n int) *gpu.Program {
	dispatches := make([]gpu.Dispatch, n)
	for i := range dispatches {
		dispatches[i] = gpu.Dispatch{Kernel: kernel(t, d, "step", step, gpu.ReadWrite), Bindings: whole(x), Groups: [3]uint32{1, 1, 1}}
	}
	return program(t, d, dispatches...)
}

// TestLoopAllocatesNothing is the trainer's loop: a few bytes in, a program of
// a thousand dispatches, nothing out.
func TestLoopAllocatesNothing(t *testing.T) {
	d := open(t)
	x, params := newBuffer(t, d, "x", 4), newBuffer(t, d, "params", 1024)
	p := steps(t, d, x, 1000)
	data := make([]byte, 1024)
	before := d.Stats()
	const runs = 20
	allocs := testing.AllocsPerRun(runs-1, func() {
		if err := params.Write(0, data); err != nil {
			t.Fatal(err)
		}
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
	})
	if runtime.GOOS == "js" { // each promise that is waited for takes two callbacks
		require.LessOrEqual(t, allocs, 30.)
	} else {
		require.Zero(t, allocs)
	}
	require.NoError(t, d.Wait())
	after := d.Stats()
	require.EqualValues(t, runs, after.Runs-before.Runs)
	require.EqualValues(t, 1000*runs, after.Dispatches-before.Dispatches)
	require.EqualValues(t, 1024*runs, after.BytesWritten-before.BytesWritten)
	require.Equal(t, before.Reads, after.Reads)
	require.Equal(t, before.Allocated, after.Allocated)
	require.Equal(t, before.Compiled, after.Compiled)

	var want uint32
	for range 1000 * runs {
		want = want*3 + 1
	}
	require.Equal(t, []uint32{want}, download[uint32](t, x))
}

func TestStats(t *testing.T) {
	d := open(t)
	require.Equal(t, gpu.Stats{}, d.Stats())
	x, y := newBuffer(t, d, "x", 64), newBuffer(t, d, "y", 4)
	p := steps(t, d, y, 3)
	require.NoError(t, x.Write(8, make([]byte, 12)))
	require.NoError(t, x.Write(0, make([]byte, 4)))
	require.NoError(t, p.Run())
	require.NoError(t, p.Run())
	require.NoError(t, x.Read(0, make([]byte, 40)))
	require.Equal(t, gpu.Stats{Runs: 2, Dispatches: 6, Reads: 1, Writes: 2, BytesRead: 40, BytesWritten: 16, Compiled: 1, Buffers: 2, Allocated: 68, Peak: 68}, d.Stats())
	x.Release()
	require.EqualValues(t, 1, d.Stats().Buffers)
	require.EqualValues(t, 4, d.Stats().Allocated)
	require.EqualValues(t, 68, d.Stats().Peak)
}

func TestTime(t *testing.T) {
	d := open(t)
	if !d.Adapter().Has(gpu.TimestampQuery) {
		_, err := steps(t, d, newBuffer(t, d, "x", 4), 1).Time()
		require.ErrorIs(t, err, gpu.ErrNoTimestamps)
		t.Skip("this adapter has no timestamps")
	}
	for _, n := range []int{0, 1, 31, 33, 1100} {
		x := newBuffer(t, d, "x", 4)
		p := steps(t, d, x, n)
		times, err := p.Time()
		require.NoError(t, err)
		require.Len(t, times, n)
		var total time.Duration
		for i, spent := range times {
			require.GreaterOrEqual(t, spent, time.Duration(0), "dispatch %d", i)
			total += spent
		}
		var want uint32
		for range n {
			want = want*3 + 1
		}
		if n > 0 {
			require.Positive(t, total)
		}
		require.Equal(t, []uint32{want}, download[uint32](t, x), "timing runs the program once")
	}
}

// TestLongRun has more work under way than the five seconds after which a
// waiting poll of wgpu takes everything for done.
func TestLongRun(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	d := open(t)
	const busy = `
@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
	var v = x[id.x];
	for (var i = 0u; i < 100000u; i++) {
		v = v * 1664525u + 1013904223u;
		v ^= v >> 13u;
	}
	x[id.x] = v;
}
`
	k := kernel(t, d, "busy", busy, gpu.ReadWrite)
	x := newBuffer(t, d, "x", 4*64*64)
	one := gpu.Dispatch{Kernel: k, Bindings: whole(x), Groups: [3]uint32{64, 1, 1}}
	p := program(t, d, one)
	require.NoError(t, p.Run())
	require.NoError(t, d.Wait())
	start := time.Now()
	require.NoError(t, p.Run())
	require.NoError(t, d.Wait())
	dispatches := make([]gpu.Dispatch, 1+int(7*time.Second/time.Since(start)))
	for i := range dispatches {
		dispatches[i] = one
	}
	require.Less(t, len(dispatches), 100_000, "give each dispatch more to do")
	long := program(t, d, dispatches...)
	require.NoError(t, x.Write(0, make([]byte, x.Size())))
	start = time.Now()
	require.NoError(t, long.Run())
	got := download[uint32](t, x)
	t.Logf("%d dispatches took %v", len(dispatches), time.Since(start))

	var want uint32
	for range len(dispatches) * 100_000 {
		want = want*1664525 + 1013904223
		want ^= want >> 13
	}
	for i, v := range got {
		require.Equal(t, want, v, "value %d", i)
	}
}

// TestGarbageCollector collects all the time while C holds on to what Go made.
func TestGarbageCollector(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	stop := make(chan struct{})
	var collector sync.WaitGroup
	collector.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
				if runtime.GOOS == "js" { // the event loop needs a turn
					time.Sleep(time.Millisecond)
				}
			}
		}
	})
	defer collector.Wait()
	defer close(stop)

	for range 3 {
		d := open(t)
		for i := range uint32(30) {
			x := upload(t, d, "x", []uint32{i})
			p := steps(t, d, x, 5)
			want := i
			for range 4 {
				require.NoError(t, p.Run())
				for range 5 {
					want = want*3 + 1
				}
			}
			_, err := d.Kernel("bad", "fn main() { nonsense }")
			require.Error(t, err)
			if d.Adapter().Has(gpu.TimestampQuery) && i == 0 {
				_, err := p.Time()
				require.NoError(t, err)
				for range 5 {
					want = want*3 + 1
				}
			}
			require.Equal(t, []uint32{want}, download[uint32](t, x))
			p.Release()
			x.Release()
		}
		d.Close()
	}
}

func TestGoroutines(t *testing.T) {
	d := open(t)
	var all sync.WaitGroup
	for g := range uint32(4) {
		x := newBuffer(t, d, "x", 4)
		p := steps(t, d, x, 3)
		all.Go(func() {
			for i := range uint32(25) {
				got := []uint32{g + i}
				if x.Write(0, gpu.Bytes(got)) != nil || p.Run() != nil || d.Wait() != nil || x.Read(0, gpu.Bytes(got)) != nil {
					t.Error("a call failed")
					return
				}
				want := g + i
				for range 3 {
					want = want*3 + 1
				}
				if got[0] != want {
					t.Errorf("%d, not %d", got[0], want)
				}
			}
		})
	}
	all.Wait()
}
