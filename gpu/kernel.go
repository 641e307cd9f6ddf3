package gpu

import (
	"errors"
	"fmt"
	"strings"

	"bitnet/gpu/driver"
)

// Kernel is a compiled compute shader.
type Kernel struct {
	device *Device
	id     driver.Kernel
	label  string
	wgsl   string
	access []Access
}

// Label is the name that the kernel was first compiled with.
func (k *Kernel) Label() string { return k.label }

// Kernel compiles WGSL. Its entry point is "main"; binding i of group 0 is a
// storage buffer, declared `read` or `read_write` as access[i] says. A source
// is compiled once for each access. The error for a faulty source gives label,
// line and column and quotes the line.
func (d *Device) Kernel(label, wgsl string, access ...Access) (*Kernel, error) {
	if limit := d.adapter.Limits.StorageBindings; len(access) > limit {
		return nil, fmt.Errorf("kernel %q: %d bindings are more than the %d that %s allows", label, len(access), limit, d.adapter.Name)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errClosed
	}
	return d.kernel(label, wgsl, access)
}

func (d *Device) kernel(label, wgsl string, access []Access) (*Kernel, error) {
	key := kernelKey(wgsl, access)
	if k, ok := d.kernels[key]; ok {
		return k, nil
	}
	id, err := d.driver.CreateKernel(label, wgsl, access)
	if err != nil {
		var fault *driver.CompileError
		if errors.As(err, &fault) {
			if fault.Line == 0 {
				if why := mismatch(wgsl, access); why != "" {
					return nil, fmt.Errorf("kernel %q: %s: %w", label, why, fault)
				}
				return nil, fmt.Errorf("kernel %q: %w", label, fault)
			}
			return nil, fmt.Errorf("%s:%w%s", label, fault, quote(wgsl, fault.Line))
		}
		return nil, err
	}
	d.stats.Compiled++
	k := &Kernel{device: d, id: id, label: label, wgsl: wgsl, access: append([]Access(nil), access...)}
	d.kernels[key] = k
	return k, nil
}

func kernelKey(wgsl string, access []Access) string {
	var b strings.Builder
	for _, a := range access {
		b.WriteByte('0' + byte(a))
	}
	b.WriteByte('\n')
	b.WriteString(wgsl)
	return b.String()
}

// quote returns a line of the source, from 1, to print below an error.
func quote(wgsl string, line int) string {
	lines := strings.Split(wgsl, "\n")
	if line < 1 || line > len(lines) {
		return ""
	}
	return "\n\t" + strings.TrimSpace(lines[line-1])
}
