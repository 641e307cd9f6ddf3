package gpu_test

import (
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

const saxpy = `
struct Params { n: u32, a: f32 }
@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
	if (id.x < params.n) {
		y[id.x] = params.a * x[id.x] + y[id.x];
	}
}
`

func TestOne(t *testing.T) {
	d := open(t)
	t.Logf("%+v", d.Adapter())
	k, err := d.Kernel("saxpy", saxpy, gpu.Read, gpu.Read, gpu.ReadWrite)
	require.NoError(t, err)
	p, err := d.NewBuffer("params", 8)
	require.NoError(t, err)
	x, err := d.NewBuffer("x", 4*100)
	require.NoError(t, err)
	y, err := d.NewBuffer("y", 4*100)
	require.NoError(t, err)
	xs := make([]float32, 100)
	for i := range xs {
		xs[i] = float32(i)
	}
	require.NoError(t, x.Write(0, gpu.Bytes(xs)))
	require.NoError(t, p.Write(0, []byte{100, 0, 0, 0, 0, 0, 0, 0x40}))
	prog, err := d.NewProgram("saxpy", []gpu.Dispatch{{Kernel: k, Bindings: []gpu.Binding{{Buffer: p}, {Buffer: x}, {Buffer: y}}, Groups: [3]uint32{2, 1, 1}}})
	require.NoError(t, err)
	require.NoError(t, prog.Run())
	out := make([]float32, 100)
	require.NoError(t, y.Read(0, gpu.Bytes(out)))
	for i := range out {
		require.Equal(t, 2*xs[i], out[i])
	}
	ts, err := prog.Time()
	t.Log(ts, err)
}
