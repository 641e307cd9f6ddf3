package shaders

import "fmt"

// MatrixShape is what an adapter's matrix units multiply at once: [M, K] by
// [K, N] in a component type ("f16", "i8") with sums in a result type ("f32", "i32").
type MatrixShape struct {
	M, N, K           int
	Component, Result string
}

func (s MatrixShape) String() string {
	return fmt.Sprintf("%dx%dx%d %s to %s", s.M, s.N, s.K, s.Component, s.Result)
}

// MatrixUnits are those of an adapter.
type MatrixUnits struct {
	Shapes                   []MatrixShape
	SubgroupMin, SubgroupMax int  // invocations
	SizeControl              bool // whether a kernel can ask for a size in between
	WorkgroupMemory          int  // bytes
}

// Has reports whether the units multiply one type into another.
func (u MatrixUnits) Has(component, result string) bool {
	_, ok := u.Shape(component, result)
	return ok
}

// Shape finds the largest product of two types.
func (u MatrixUnits) Shape(component, result string) (MatrixShape, bool) {
	var best MatrixShape
	for _, s := range u.Shapes {
		if s.Component == component && s.Result == result && s.M*s.N*s.K > best.M*best.N*best.K {
			best = s
		}
	}
	return best, best.M > 0
}
