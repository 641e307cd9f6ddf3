package graph

import (
	"bitnet/gpu"
	"bitnet/shaders"
)

// CompileKernel compiles a kernel for a device. The same source is compiled once.
func CompileKernel(dev *gpu.Device, src shaders.Source) (*gpu.Kernel, error) {
	access := make([]gpu.Access, len(src.Writes))
	for i, w := range src.Writes {
		if w {
			access[i] = gpu.ReadWrite
		}
	}
	return dev.Kernel(src.Label, src.Code, access...)
}

// Call is one kernel of a program with what it is bound to.
type Call struct {
	Op     string // the operation that it belongs to
	Source shaders.Source
	// Bindings are the source's, in order.
	Bindings []gpu.Binding
	// Bytes is what the kernel must read or write, each once.
	Bytes int64
	// Update: it runs once in a step. Other calls run once in each micro-batch.
	Update bool
}

// Calls lists the kernels of a program in the order in which they run.
func (r *Program) Calls() ([]Call, error) {
	if err := r.ready(); err != nil {
		return nil, err
	}
	out := make([]Call, len(r.plan.calls))
	for i, c := range r.plan.calls {
		bindings, err := c.bindings()
		if err != nil {
			return nil, err
		}
		out[i] = Call{c.op, c.src, bindings, c.bytes(), i >= r.plan.micro}
	}
	return out, nil
}

// bytes is what a call reads and writes: all that is bound, but of a table only
// the rows that ids choose.
func (c call) bytes() int64 {
	var n, chosen int64
	for _, x := range c.args {
		if x.t.DType == U32 {
			chosen = max(chosen, int64(x.t.Rows)*int64(x.t.Cols))
		}
	}
	for i, x := range c.args {
		_, size := x.bytes()
		name := c.src.Names[i]
		if chosen > 0 && (name == "table" || name == "dtable") {
			size = min(size, 4*chosen*int64(x.t.Cols))
		}
		n += size
	}
	return n
}
