package dawn

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"bitnet/gpu/driver"
)

// openFirst opens a real device, or skips.
func openFirst(t *testing.T) driver.Device {
	t.Helper()
	if err := Installed(); err != nil {
		t.Skip(err)
	}
	d := &backend{}
	adapters, err := d.Adapters()
	require.NoError(t, err)
	if len(adapters) == 0 {
		t.Skip("no graphics adapter: run gpu/install-vulkan.sh")
	}
	dev, err := d.Open(0)
	require.NoError(t, err)
	t.Cleanup(dev.Close)
	return dev
}

const fill = `@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(1)
fn main() { y[0] = y[0] + 1u; }
`

func count(t *testing.T, dev driver.Device) byte {
	t.Helper()
	b, err := dev.CreateBuffer("b", 256)
	require.NoError(t, err)
	k, err := dev.CreateKernel("fill", fill, []driver.Access{driver.ReadWrite})
	require.NoError(t, err)
	p, err := dev.CreateProgram("p", []driver.Dispatch{{Kernel: k, Bindings: []driver.Binding{{Buffer: b}}, Groups: [3]uint32{1, 1, 1}}})
	require.NoError(t, err)
	for range 3 {
		require.NoError(t, dev.Run(p))
	}
	got := make([]byte, 4)
	require.NoError(t, dev.Read(b, 0, got))
	return got[0]
}

// TestCrash ends the child of an open device.
func TestCrash(t *testing.T) {
	dev := openFirst(t)
	b, err := dev.CreateBuffer("b", 256)
	require.NoError(t, err)
	require.NoError(t, dev.(*device).p.cmd.Process.Kill())
	for name, call := range map[string]func() error{
		"read":   func() error { return dev.Read(b, 0, make([]byte, 4)) },
		"wait":   dev.Wait,
		"buffer": func() error { _, err := dev.CreateBuffer("c", 4); return err },
		"kernel": func() error { _, err := dev.CreateKernel("k", fill, nil); return err },
	} {
		err := call()
		require.ErrorIs(t, err, driver.ErrDeviceLost, name)
		require.ErrorContains(t, err, "the Dawn process ended", name)
	}
	require.ErrorIs(t, dev.Write(b, 0, make([]byte, 4)), driver.ErrDeviceLost)
	dev.DestroyBuffer(b)
	dev.Close()

	require.EqualValues(t, 3, count(t, openFirst(t)), "a new device can be opened")
}

// TestValidation hands Dawn what package gpu would have refused.
func TestValidation(t *testing.T) {
	dev := openFirst(t)
	b, err := dev.CreateBuffer("b", 256)
	require.NoError(t, err)
	k, err := dev.CreateKernel("fill", fill, []driver.Access{driver.ReadWrite})
	require.NoError(t, err)
	program := func(binding driver.Binding, groups uint32) (driver.Program, error) {
		return dev.CreateProgram("p", []driver.Dispatch{{Kernel: k, Bindings: []driver.Binding{binding}, Groups: [3]uint32{groups, 1, 1}}})
	}
	tooMany, err := program(driver.Binding{Buffer: b}, 1<<30)
	require.NoError(t, err)
	for _, tt := range []struct {
		name string
		call func() error
		want string
	}{
		{"offset", func() error { _, err := program(driver.Binding{Buffer: b, Offset: 4}, 1); return err }, "(4)"},
		{"beyond", func() error { _, err := program(driver.Binding{Buffer: b, Size: 1024}, 1); return err }, "1024"},
		{"groups", func() error { _ = dev.Run(tooMany); return dev.Wait() }, "1073741824"},
		{"write", func() error { _ = dev.Write(b, 252, make([]byte, 8)); return dev.Wait() }, "256"},
		{"read", func() error { return dev.Read(b, 252, make([]byte, 8)) }, "256"},
		{"size", func() error { _, err := dev.CreateBuffer("big", 1<<50); return err }, "1125899906842624"},
		{"source", func() error {
			_, err := dev.CreateKernel("k", "fn main() {\n  let x = nonsense;\n}", nil)
			var fault *driver.CompileError
			require.ErrorAs(t, err, &fault)
			require.Equal(t, 2, fault.Line)
			return err
		}, "nonsense"},
		{"access", func() error { _, err := dev.CreateKernel("k", fill, []driver.Access{driver.Read}); return err }, "ReadOnlyStorage"},
		{"text", func() error { _, err := dev.CreateKernel("k", "\xff", nil); return err }, "UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.call()
			require.ErrorContains(t, err, tt.want)
			require.NotErrorIs(t, err, driver.ErrDeviceLost)
			require.NotContains(t, err.Error(), "\n")
			t.Log(err)
			require.NoError(t, dev.Wait(), "the device still works, and the fault is reported once")
		})
	}
	require.EqualValues(t, 3, count(t, dev))
}

func TestMissing(t *testing.T) {
	t.Setenv("BITNET_DAWN", t.TempDir())
	require.ErrorContains(t, Installed(), "run make dawn")
	_, err := new(backend).Adapters()
	require.ErrorContains(t, err, "run make dawn")
	_, err = new(backend).Open(0)
	require.ErrorContains(t, err, "run make dawn")

	pretend(t, "")
	t.Setenv("BITNET_NODE", "/nonexistent/node")
	require.ErrorContains(t, Installed(), "install Node.js")
	_, err = new(backend).Adapters()
	require.ErrorContains(t, err, "install Node.js")
}

// pretend puts a module in the place of Dawn's.
func pretend(t *testing.T, module string) {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("no Node.js")
	}
	dir := t.TempDir()
	folder := filepath.Join(dir, "node_modules", "webgpu")
	require.NoError(t, os.MkdirAll(folder, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "package.json"), []byte(`{"type": "module"}`), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "index.js"), []byte(module), 0o644))
	t.Setenv("BITNET_DAWN", dir)
}

// TestChild has the child fail in every way.
func TestChild(t *testing.T) {
	defer func(old time.Duration) { silence = old }(silence)
	for _, tt := range []struct {
		name, module string
		silence      time.Duration
		want         []string
	}{
		{"does not load", "throw new Error('cannot open shared object file')", time.Minute, []string{"the Dawn process ended", "exit status 3", "cannot open shared object file"}},
		{"exits", "export function create() { console.error('Warning: noise'); console.error('out of luck'); process.exit(7) }", time.Minute, []string{"exit status 7", "out of luck"}},
		{"crashes", "export function create() { process.kill(process.pid, 'SIGSEGV'); for (;;); }", time.Minute, []string{"the Dawn process ended"}},
		{"hangs", "export function create() { for (;;); }", 2 * time.Second, []string{"gave no sign of life"}},
		{"writes", "export function create() { console.log('hello, world') }", time.Minute, []string{"standard output"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pretend(t, tt.module)
			silence = tt.silence
			_, err := new(backend).Adapters()
			require.ErrorContains(t, err, "use --backend wgpu")
			for _, want := range tt.want {
				require.ErrorContains(t, err, want)
			}
			require.NotContains(t, err.Error(), "\n")
			t.Log(err)
		})
	}
}

// TestPatience has the child wait for longer than it may be silent.
func TestPatience(t *testing.T) {
	defer func(old time.Duration) { silence = old }(silence)
	silence = 3 * time.Second
	pretend(t, `
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const info = { vendor: 'acme', description: 'pretended', isFallbackAdapter: false };
export const create = (options) => ({
	wgslLanguageFeatures: new Set(['packed_4x8_integer_dot_product']),
	requestAdapter: async () => {
		if (!options.some((o) => o.startsWith('backend='))) throw new Error("Available adapters:\n * backend: 'vulkan', name: 'One'\n * backend: 'opengl', name: 'Two'");
		await wait(5000);
		return { info, limits: { maxBufferSize: 1024 }, features: new Set(['shader-f16', 'unknown']) };
	},
});`)
	adapters, err := new(backend).Adapters()
	require.NoError(t, err)
	require.Equal(t, []driver.Adapter{{
		Name: "One", Driver: "pretended (Dawn " + Version + ")", API: "Vulkan", Kind: driver.Discrete,
		Limits:   driver.Limits{BufferSize: 1024},
		Features: []string{driver.ShaderF16, driver.PackedDot},
	}}, adapters)
}

// TestProof has every shape proven that the adapters have, and one refused.
func TestProof(t *testing.T) {
	if err := Installed(); err != nil {
		t.Skip(err)
	}
	found, err := listAdapters()
	require.NoError(t, err)
	proven := 0
	for _, a := range found {
		for _, s := range a.Matrices {
			if !used(s) {
				continue
			}
			dev, err := open(a)
			require.NoError(t, err)
			require.NoError(t, multiply(dev, a, s), "%+v", s)
			dev.Close()
			proven++
			wrong := s
			wrong.M *= 3
			broken := a
			broken.Matrices = []driver.MatrixShape{wrong, s}
			prove(&broken)
			require.Equal(t, []driver.MatrixShape{s}, broken.Matrices)
		}
	}
	if proven == 0 {
		t.Skip("no adapter with matrix units: make test-matrix brings a software one")
	}
}
