package graph

import (
	"bitnet/gpu"
	"bitnet/shaders"
)

// UnitsOf are an adapter's matrix units, none where it has or tells of none.
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
