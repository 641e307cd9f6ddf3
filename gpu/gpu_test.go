package gpu_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
)

func open(t testing.TB) *gpu.Device {
	t.Helper()
	adapters, err := gpu.Adapters()
	require.NoError(t, err)
	if len(adapters) == 0 {
		t.Skip("no graphics adapter: run gpu/install-vulkan.sh")
	}
	d, err := gpu.Open("")
	require.NoError(t, err)
	t.Cleanup(d.Close)
	return d
}

func newBuffer(t testing.TB, d *gpu.Device, label string, size int64) *gpu.Buffer {
	t.Helper()
	b, err := d.NewBuffer(label, size)
	require.NoError(t, err)
	return b
}

func upload[T ~float32 | ~uint32 | ~int32](t testing.TB, d *gpu.Device, label string, values []T) *gpu.Buffer {
	t.Helper()
	b := newBuffer(t, d, label, int64(4*len(values)))
	require.NoError(t, b.Write(0, gpu.Bytes(values)))
	return b
}

func download[T ~float32 | ~uint32 | ~int32](t testing.TB, b *gpu.Buffer) []T {
	t.Helper()
	out := make([]T, b.Size()/4)
	require.NoError(t, b.Read(0, gpu.Bytes(out)))
	return out
}

func kernel(t testing.TB, d *gpu.Device, label, wgsl string, access ...gpu.Access) *gpu.Kernel {
	t.Helper()
	k, err := d.Kernel(label, wgsl, access...)
	require.NoError(t, err)
	return k
}

func program(t testing.TB, d *gpu.Device, dispatches ...gpu.Dispatch) *gpu.Program {
	t.Helper()
	p, err := d.NewProgram(t.Name(), dispatches)
	require.NoError(t, err)
	return p
}

func whole(buffers ...*gpu.Buffer) []gpu.Binding {
	var out []gpu.Binding
	for _, b := range buffers {
		out = append(out, gpu.Binding{Buffer: b})
	}
	return out
}

// y += a x, in which a is a[0] and n is the length of y.
const saxpy = `
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
	if (id.x < arrayLength(&y)) {
		y[id.x] = a[0] * x[id.x] + y[id.x];
	}
}
`

// x[0] = x[0] * 3 + 1, in one invocation: the order of runs shows.
const step = `
@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@compute @workgroup_size(1)
fn main() { x[0] = x[0] * 3u + 1u; }
`

func TestSaxpy(t *testing.T) {
	d := open(t)
	k := kernel(t, d, "saxpy", saxpy, gpu.Read, gpu.Read, gpu.ReadWrite)
	for _, n := range []int{1, 3, 37, 64, 65, 1000, 100_003} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			xs, ys, want := make([]float32, n), make([]float32, n), make([]float32, n)
			for i := range xs {
				xs[i], ys[i] = float32(i), float32(n-2*i)
				want[i] = 3*(0.5*xs[i]) + ys[i]
			}
			a, x, y := upload(t, d, "a", []float32{0.5}), upload(t, d, "x", xs), upload(t, d, "y", ys)
			p := program(t, d, gpu.Dispatch{Kernel: k, Bindings: whole(a, x, y), Groups: [3]uint32{uint32(n+63) / 64, 1, 1}})
			for range 3 {
				require.NoError(t, p.Run())
			}
			require.Equal(t, want, download[float32](t, y))
		})
	}
}

func TestBuffersAreZeroed(t *testing.T) {
	d := open(t)
	for range 3 {
		b := newBuffer(t, d, "b", 1<<20)
		got := download[uint32](t, b)
		require.Equal(t, make([]uint32, 1<<18), got)
		for i := range got {
			got[i] = 0xdeadbeef
		}
		require.NoError(t, b.Write(0, gpu.Bytes(got)))
		require.Equal(t, got, download[uint32](t, b))
		b.Release()
	}
	// Never read and never written from here: only by a kernel, and only in part.
	b := newBuffer(t, d, "b", 1<<20)
	p := program(t, d, gpu.Dispatch{Kernel: kernel(t, d, "step", step, gpu.ReadWrite), Bindings: whole(b), Groups: [3]uint32{1, 1, 1}})
	require.NoError(t, p.Run())
	want := make([]uint32, 1<<18)
	want[0] = 1
	require.Equal(t, want, download[uint32](t, b))
}

// TestLargeTransfers goes beyond the pieces in which the driver copies.
func TestLargeTransfers(t *testing.T) {
	d := open(t)
	const n = 17<<20 + 12 // values, 68 MiB
	data := make([]uint32, n)
	for i := range data {
		data[i] = uint32(i) * 2654435761
	}
	b := newBuffer(t, d, "large", 4*n+8)
	require.NoError(t, b.Write(8, gpu.Bytes(data)))
	got := make([]uint32, n)
	require.NoError(t, b.Read(8, gpu.Bytes(got)))
	for i := range got {
		if got[i] != data[i] {
			t.Fatalf("value %d is %d, not %d", i, got[i], data[i])
		}
	}
	b.Release()
}

// TestOrder mixes writes, runs and reads without waiting in between.
func TestOrder(t *testing.T) {
	d := open(t)
	k := kernel(t, d, "step", step, gpu.ReadWrite)
	x := newBuffer(t, d, "x", 4)
	one := gpu.Dispatch{Kernel: k, Bindings: whole(x), Groups: [3]uint32{1, 1, 1}}
	short, long := program(t, d, one), program(t, d, one, one, one)

	var want uint32
	next := func(v uint32, times int) uint32 {
		for range times {
			v = v*3 + 1
		}
		return v
	}
	data := make([]uint32, 1)
	for i := range uint32(200) {
		switch i % 7 {
		case 0:
			data[0] = i
			require.NoError(t, x.Write(0, gpu.Bytes(data)))
			data[0] = 0xffffffff // the slice is ours again
			want = i
		case 1, 4, 5:
			require.NoError(t, short.Run())
			want = next(want, 1)
		case 2, 3:
			require.NoError(t, long.Run())
			want = next(want, 3)
		case 6:
			require.Equal(t, []uint32{want}, download[uint32](t, x), "at %d", i)
		}
	}
	require.Equal(t, []uint32{want}, download[uint32](t, x))
}

// TestManyDispatches crosses the borders of submissions.
func TestManyDispatches(t *testing.T) {
	d := open(t)
	k := kernel(t, d, "step", step, gpu.ReadWrite)
	for _, n := range []int{0, 1, 31, 32, 33, 64, 1000, 1025} {
		x := newBuffer(t, d, "x", 4)
		dispatches := make([]gpu.Dispatch, n)
		var want uint32
		for i := range dispatches {
			dispatches[i] = gpu.Dispatch{Kernel: k, Bindings: whole(x), Groups: [3]uint32{1, 1, 1}}
			want = want*3 + 1
		}
		p := program(t, d, dispatches...)
		require.Len(t, p.Dispatches(), n)
		require.NoError(t, p.Run())
		require.Equal(t, []uint32{want}, download[uint32](t, x), "%d dispatches", n)
		p.Release()
	}
}

// TestArena binds ranges of one buffer, read and written by one dispatch.
func TestArena(t *testing.T) {
	d := open(t)
	k := kernel(t, d, "saxpy", saxpy, gpu.Read, gpu.Read, gpu.ReadWrite)
	compiled := d.Stats().Compiled

	const n = 37
	arena := newBuffer(t, d, "arena", 1024)
	xs, ys, want := make([]float32, n), make([]float32, n), make([]float32, n)
	for i := range xs {
		xs[i], ys[i] = float32(i+1), float32(100*i)
		want[i] = 4*xs[i] + ys[i]
	}
	require.NoError(t, arena.Write(0, gpu.Bytes([]float32{2})))
	require.NoError(t, arena.Write(256, gpu.Bytes(xs)))
	require.NoError(t, arena.Write(512, gpu.Bytes(ys)))
	bindings := []gpu.Binding{
		{Buffer: arena, Size: 4},
		{Buffer: arena, Offset: 256, Size: 4 * n},
		{Buffer: arena, Offset: 512, Size: 4 * n},
	}
	dispatch := gpu.Dispatch{Kernel: k, Bindings: bindings, Groups: [3]uint32{1, 1, 1}}
	p := program(t, d, dispatch, dispatch)
	require.NoError(t, p.Run())

	got := download[float32](t, arena)
	require.Equal(t, want, got[128:128+n])
	require.Equal(t, xs, got[64:64+n])
	require.Zero(t, got[128+n], "what lies behind a binding stays")
	require.Equal(t, compiled+1, d.Stats().Compiled, "one variant for both dispatches")

	// The same range may be read twice, also of a buffer that is written.
	dispatch.Bindings = []gpu.Binding{bindings[1], bindings[1], bindings[2]}
	require.NoError(t, program(t, d, dispatch).Run())
	again := download[float32](t, arena)
	for i := range want {
		want[i] += xs[0] * xs[i]
	}
	require.Equal(t, want, again[128:128+n])
	require.Equal(t, xs, again[64:64+n])
	overlap := dispatch
	overlap.Bindings = []gpu.Binding{{Buffer: arena, Offset: 256, Size: 4}, bindings[1], bindings[2]}
	_, err := d.NewProgram("overlap", []gpu.Dispatch{overlap})
	require.ErrorContains(t, err, "bind the same range")

	x, y := upload(t, d, "x", xs), newBuffer(t, d, "y", 4*n)
	require.NoError(t, program(t, d, gpu.Dispatch{Kernel: k, Bindings: whole(x, x, y), Groups: [3]uint32{1, 1, 1}}).Run())
	require.Equal(t, xs, download[float32](t, y))
}

func TestKernelCache(t *testing.T) {
	d := open(t)
	a := kernel(t, d, "first", step, gpu.ReadWrite)
	b := kernel(t, d, "second", step, gpu.ReadWrite)
	require.Same(t, a, b)
	require.EqualValues(t, 1, d.Stats().Compiled)
	kernel(t, d, "other", step+"\n", gpu.ReadWrite)
	require.EqualValues(t, 2, d.Stats().Compiled)
}

func TestSeveralDevices(t *testing.T) {
	a, b := open(t), open(t)
	x, y := upload(t, a, "x", []uint32{1}), upload(t, b, "y", []uint32{2})
	require.Equal(t, []uint32{1}, download[uint32](t, x))
	a.Close()
	require.Equal(t, []uint32{2}, download[uint32](t, y))
}
