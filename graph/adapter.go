package graph

import (
	"bitnet/gpu"
	"bitnet/shaders"
)

// Limits are what graphs must know about an adapter: sizes in bytes, and what it
// multiplies fast.
type Limits struct {
	Binding int64 // of one storage binding
	Buffer  int64 // of one buffer
	Units   shaders.MatrixUnits
	// PackedDot: kernels can multiply four bytes at once.
	PackedDot bool
}

// LimitsOf are the limits of an adapter.
func LimitsOf(a gpu.Adapter) Limits {
	return Limits{Binding: a.Limits.BindingSize, Buffer: a.Limits.BufferSize, Units: UnitsOf(a), PackedDot: a.Has(gpu.PackedDot)}
}

// TargetOf is the layout of kernels that suits an adapter.
func TargetOf(a gpu.Adapter) shaders.Target {
	switch {
	case a.Kind != gpu.CPU:
		return shaders.GPU
	case a.Has(gpu.UniformTable):
		return shaders.CPUTable
	}
	return shaders.CPU
}

// UnitsOf are an adapter's matrix units, none where it has none or reports none.
func UnitsOf(a gpu.Adapter) shaders.MatrixUnits {
	u := shaders.MatrixUnits{
		SubgroupMin: a.SubgroupMin, SubgroupMax: a.SubgroupMax,
		SizeControl:     a.Has(gpu.SubgroupSizeControl),
		WorkgroupMemory: a.Limits.WorkgroupMemory,
	}
	if !a.Has(gpu.SubgroupMatrix) || !a.Has(gpu.Subgroups) {
		return u
	}
	for _, s := range a.Matrices {
		if s.Component == "f16" && !a.Has(gpu.ShaderF16) {
			continue
		}
		u.Shapes = append(u.Shapes, shaders.MatrixShape(s))
	}
	return u
}
