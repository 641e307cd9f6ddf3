//go:build cgo

package wgpu

import (
	"errors"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu/driver"
)

func openFirst(t *testing.T) driver.Device {
	t.Helper()
	d := &backend{}
	adapters, err := d.Adapters()
	require.NoError(t, err)
	if len(adapters) == 0 {
		t.Skip("no graphics adapter: run gpu/install-vulkan.sh")
	}
	dev, err := d.Open(0)
	require.NoError(t, err)
	return dev
}

const fill = `@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(1)
fn main() { y[0] = y[0] + 1u; }
`

// TestPanic makes wgpu-native panic, as it does when a device is lost, by an
// empty binding, which package gpu would have refused.
func TestPanic(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a panic of wgpu-native ends the process here")
	}
	// The panic leaves its mark on the thread: this one ends with the goroutine.
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		dev := openFirst(t)
		b, err := dev.CreateBuffer("b", 256)
		require.NoError(t, err)
		k, err := dev.CreateKernel("fill", fill, []driver.Access{driver.ReadWrite})
		require.NoError(t, err)
		_, err = dev.CreateProgram("bad", []driver.Dispatch{{Kernel: k, Bindings: []driver.Binding{{Buffer: b, Offset: 256}}, Groups: [3]uint32{1, 1, 1}}})
		require.ErrorIs(t, err, driver.ErrDeviceLost)

		for name, call := range map[string]func() error{
			"write":  func() error { return dev.Write(b, 0, make([]byte, 4)) },
			"read":   func() error { return dev.Read(b, 0, make([]byte, 4)) },
			"wait":   dev.Wait,
			"buffer": func() error { _, err := dev.CreateBuffer("c", 4); return err },
		} {
			require.ErrorIs(t, call(), driver.ErrDeviceLost, name)
		}
		dev.Close()
	}()
	<-done

	dev := openFirst(t)
	defer dev.Close()
	b, err := dev.CreateBuffer("b", 256)
	require.NoError(t, err)
	k, err := dev.CreateKernel("fill", fill, []driver.Access{driver.ReadWrite})
	require.NoError(t, err)
	p, err := dev.CreateProgram("good", []driver.Dispatch{{Kernel: k, Bindings: []driver.Binding{{Buffer: b}}, Groups: [3]uint32{1, 1, 1}}})
	require.NoError(t, err)
	require.NoError(t, dev.Run(p))
	got := make([]byte, 4)
	require.NoError(t, dev.Read(b, 0, got))
	require.Equal(t, []byte{1, 0, 0, 0}, got)
}

// TestValidation hands wgpu what package gpu would have refused.
func TestValidation(t *testing.T) {
	dev := openFirst(t)
	defer dev.Close()
	b, err := dev.CreateBuffer("b", 256)
	require.NoError(t, err)
	k, err := dev.CreateKernel("fill", fill, []driver.Access{driver.ReadWrite})
	require.NoError(t, err)
	program := func(binding driver.Binding, groups uint32) (driver.Program, error) {
		return dev.CreateProgram("p", []driver.Dispatch{{Kernel: k, Bindings: []driver.Binding{binding}, Groups: [3]uint32{groups, 1, 1}}})
	}
	good, err := program(driver.Binding{Buffer: b}, 1)
	require.NoError(t, err)
	tooMany, err := program(driver.Binding{Buffer: b}, 1<<30)
	require.NoError(t, err)

	var fault *driver.CompileError
	for _, tt := range []struct {
		name string
		call func() error
		want string
	}{
		{"offset", func() error { _, err := program(driver.Binding{Buffer: b, Offset: 4}, 1); return err }, "offset 4"},
		{"beyond", func() error { _, err := program(driver.Binding{Buffer: b, Size: 1024}, 1); return err }, "1024"},
		{"groups", func() error { return dev.Run(tooMany) }, "1073741824"},
		{"write", func() error { return dev.Write(b, 252, make([]byte, 8)) }, "256"},
		{"read", func() error { return dev.Read(b, 252, make([]byte, 8)) }, "256"},
		{"size", func() error { _, err := dev.CreateBuffer("big", 1<<50); return err }, "1125899906842624"},
		{"source", func() error {
			_, err := dev.CreateKernel("k", "fn main() {\n  let x = nonsense;\n}", nil)
			require.True(t, errors.As(err, &fault))
			require.Equal(t, 2, fault.Line)
			return err
		}, "nonsense"},
		{"access", func() error { _, err := dev.CreateKernel("k", fill, []driver.Access{driver.Read}); return err }, "LOAD"},
		{"text", func() error { _, err := dev.CreateKernel("k", "\xff", nil); return err }, "UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.call()
			require.ErrorContains(t, err, tt.want)
			require.NotErrorIs(t, err, driver.ErrDeviceLost)
			t.Log(err)
			require.NoError(t, dev.Run(good), "the device still works")
			require.NoError(t, dev.Wait())
		})
	}
}
