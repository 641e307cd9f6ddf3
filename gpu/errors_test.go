package gpu_test

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
)

func TestCompileErrors(t *testing.T) {
	d := open(t)
	const head = "@group(0) @binding(0) var<storage, read_write> y: array<f32>;\n@compute @workgroup_size(1)\n"
	for _, tt := range []struct {
		name, wgsl string
		access     []gpu.Access
		want       string
	}{
		{"syntax", head + "fn main() {\n\ty[0] = ;\n}\n", []gpu.Access{gpu.ReadWrite}, "bad.wgsl:4:9: "},
		{"quoted", head + "fn main() {\n\ty[0] = ;\n}\n", []gpu.Access{gpu.ReadWrite}, "\n\ty[0] = ;"},
		{"name", head + "fn main() { y[0] = z; }\n", []gpu.Access{gpu.ReadWrite}, "bad.wgsl:3:20: "},
		{"type", head + "fn main() {\n\n y[0] = 1u;\n}\n", []gpu.Access{gpu.ReadWrite}, "bad.wgsl:5:"},
		{"entry", head + "fn other() { y[0] = 1.0; }\n", []gpu.Access{gpu.ReadWrite}, `kernel "bad.wgsl": `},
		{"access", head + "fn main() { y[0] = 1.0; }\n", []gpu.Access{gpu.Read}, "it declares binding 0 as read_write, but was given it as read"},
		{"too few", head + "fn main() { y[0] = 1.0; }\n", nil, "it declares binding 0, but was given access for 0 bindings"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := d.Kernel("bad.wgsl", tt.wgsl, tt.access...)
			require.ErrorContains(t, err, tt.want)
		})
	}
	require.Zero(t, d.Stats().Compiled)
	kernel(t, d, "good", step, gpu.ReadWrite)
}

func TestProgramErrors(t *testing.T) {
	d, foreign := open(t), open(t)
	limits := d.Adapter().Limits
	align := limits.OffsetAlignment
	k := kernel(t, d, "step", step, gpu.ReadWrite)
	copying := kernel(t, d, "saxpy", saxpy, gpu.Read, gpu.Read, gpu.ReadWrite)
	// Its declarations are in the other order, which variants do not find.
	odd := kernel(t, d, "odd", `
@binding(0) @group(0) var<storage, read> x: array<u32>;
@binding(1) @group(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(1)
fn main() { y[0] = x[0]; }
`, gpu.Read, gpu.ReadWrite)
	x := newBuffer(t, d, "x", 4*align)
	gone := newBuffer(t, d, "gone", 4)
	gone.Release()
	ones := [3]uint32{1, 1, 1}

	tests := []struct {
		name     string
		dispatch gpu.Dispatch
		want     string
	}{
		{"no kernel", gpu.Dispatch{Groups: ones}, "it has no kernel"},
		{"foreign kernel", gpu.Dispatch{Kernel: kernel(t, foreign, "step", step, gpu.ReadWrite), Groups: ones}, "another device"},
		{"count", gpu.Dispatch{Kernel: k, Groups: ones}, "takes 1 bindings, not 0"},
		{"no buffer", gpu.Dispatch{Kernel: k, Bindings: make([]gpu.Binding, 1), Groups: ones}, "binding 0: it has no buffer"},
		{"foreign buffer", gpu.Dispatch{Kernel: k, Bindings: whole(newBuffer(t, foreign, "f", 4)), Groups: ones}, `buffer "f" belongs to another device`},
		{"released", gpu.Dispatch{Kernel: k, Bindings: whole(gone), Groups: ones}, `buffer "gone" was released`},
		{"offset", gpu.Dispatch{Kernel: k, Bindings: []gpu.Binding{{Buffer: x, Offset: align / 2}}, Groups: ones}, "is not a multiple of"},
		{"negative", gpu.Dispatch{Kernel: k, Bindings: []gpu.Binding{{Buffer: x, Offset: -align}}, Groups: ones}, "is not a multiple of"},
		{"size", gpu.Dispatch{Kernel: k, Bindings: []gpu.Binding{{Buffer: x, Size: 6}}, Groups: ones}, "a size of 6 bytes"},
		{"empty", gpu.Dispatch{Kernel: k, Bindings: []gpu.Binding{{Buffer: x, Offset: 4 * align}}, Groups: ones}, "a size of 0 bytes"},
		{"beyond", gpu.Dispatch{Kernel: k, Bindings: []gpu.Binding{{Buffer: x, Offset: align, Size: 4 * align}}, Groups: ones}, "go beyond"},
		{"no groups", gpu.Dispatch{Kernel: k, Bindings: whole(x), Groups: [3]uint32{1, 0, 1}}, "1 x 0 x 1 workgroups"},
		{"groups", gpu.Dispatch{Kernel: k, Bindings: whole(x), Groups: [3]uint32{1, 1, uint32(limits.WorkgroupsPerDimension) + 1}}, "workgroups are outside"},
		{"overlap", gpu.Dispatch{Kernel: copying, Bindings: whole(newBuffer(t, d, "a", 4), x, x), Groups: ones}, "bindings 1 and 2 overlap"},
		{"no variant", gpu.Dispatch{Kernel: odd, Bindings: []gpu.Binding{{Buffer: x, Size: align}, {Buffer: x, Offset: align}}, Groups: ones}, "declare it as"},
		{"label", gpu.Dispatch{Kernel: k, Label: "layer 3 up", Groups: ones}, "dispatch 1 (layer 3 up)"},
	}
	if limits.BufferSize > limits.BindingSize {
		large := newBuffer(t, d, "large", limits.BindingSize+4)
		tests = append(tests, struct {
			name     string
			dispatch gpu.Dispatch
			want     string
		}{"binding limit", gpu.Dispatch{Kernel: k, Bindings: whole(large), Groups: ones}, "allows in one binding"})
	}
	good := gpu.Dispatch{Kernel: k, Bindings: whole(x), Groups: ones}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := d.NewProgram("bad", []gpu.Dispatch{good, tt.dispatch})
			require.ErrorContains(t, err, tt.want)
			require.ErrorContains(t, err, `program "bad": dispatch 1`)
		})
	}
	require.NoError(t, program(t, d, good).Run())
	require.NoError(t, d.Wait())
}

func TestBufferErrors(t *testing.T) {
	d := open(t)
	b := newBuffer(t, d, "b", 16)
	gone := newBuffer(t, d, "gone", 16)
	gone.Release()
	gone.Release()
	for _, tt := range []struct {
		name string
		call func() error
		want string
	}{
		{"empty", func() error { _, err := d.NewBuffer("e", 0); return err }, "positive multiple of 4"},
		{"odd", func() error { _, err := d.NewBuffer("e", 6); return err }, "positive multiple of 4"},
		{"too large", func() error { _, err := d.NewBuffer("e", 1<<60); return err }, "split it"},
		{"write beyond", func() error { return b.Write(12, make([]byte, 8)) }, "go beyond its 16 bytes"},
		{"write odd", func() error { return b.Write(0, make([]byte, 3)) }, "multiples of 4"},
		{"write before", func() error { return b.Write(-4, make([]byte, 4)) }, "multiples of 4"},
		{"read beyond", func() error { return b.Read(12, make([]byte, 8)) }, "go beyond its 16 bytes"},
		{"read odd", func() error { return b.Read(2, make([]byte, 4)) }, "multiples of 4"},
		{"write released", func() error { return gone.Write(0, make([]byte, 4)) }, "was released"},
		{"read released", func() error { return gone.Read(0, make([]byte, 4)) }, "was released"},
	} {
		t.Run(tt.name, func(t *testing.T) { require.ErrorContains(t, tt.call(), tt.want) })
	}
	require.NoError(t, b.Write(16, nil))
	require.NoError(t, b.Read(0, nil))
}

func TestRelease(t *testing.T) {
	d := open(t)
	k := kernel(t, d, "step", step, gpu.ReadWrite)
	x, y := newBuffer(t, d, "x", 4), newBuffer(t, d, "y", 4)
	a := program(t, d, gpu.Dispatch{Kernel: k, Bindings: whole(x), Groups: [3]uint32{1, 1, 1}})
	b := program(t, d, gpu.Dispatch{Kernel: k, Bindings: whole(y), Groups: [3]uint32{1, 1, 1}})

	// A program keeps the buffers it binds, and runs under way finish.
	x.Release()
	require.NoError(t, a.Run())
	require.NoError(t, b.Run())
	b.Release()
	b.Release()
	require.Equal(t, []uint32{1}, download[uint32](t, y))
	require.NoError(t, a.Run())
	require.ErrorContains(t, b.Run(), "was released")
	_, err := b.Time()
	require.ErrorContains(t, err, "was released")

	d.Close()
	d.Close()
	for name, err := range map[string]error{
		"run":   a.Run(),
		"write": y.Write(0, make([]byte, 4)),
		"read":  y.Read(0, make([]byte, 4)),
		"wait":  d.Wait(),
	} {
		require.ErrorContains(t, err, "the device is closed", name)
	}
	_, err = d.NewBuffer("z", 4)
	require.ErrorContains(t, err, "the device is closed")
	_, err = d.Kernel("step", step, gpu.ReadWrite)
	require.ErrorContains(t, err, "the device is closed")
	_, err = d.NewProgram("p", nil)
	require.ErrorContains(t, err, "the device is closed")
	y.Release()
	a.Release()
}

// TestOutOfMemory asks for more than the machine has, in buffers of legal size
// that nothing touches.
func TestOutOfMemory(t *testing.T) {
	d := open(t)
	if d.Adapter().Kind != gpu.CPU || runtime.GOOS != "linux" {
		t.Skip("for CPU adapters on Linux: others may really hand the memory out")
	}
	var all []*gpu.Buffer
	var err error
	for len(all) < 10_000 {
		var b *gpu.Buffer
		if b, err = d.NewBuffer("big", d.Adapter().Limits.BufferSize&^3); err != nil {
			break
		}
		all = append(all, b)
	}
	require.ErrorIs(t, err, gpu.ErrOutOfMemory)
	for _, b := range all {
		b.Release()
	}
	b := newBuffer(t, d, "small", 4)
	require.Equal(t, []uint32{0}, download[uint32](t, b))
}
