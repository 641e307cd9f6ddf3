package shaders

// Target is the kind of machine that a kernel is laid out for.
type Target int

const (
	// GPU kernels let many invocations share a row or a tile through
	// workgroup memory.
	GPU Target = iota
	// CPU kernels are for software Vulkan (lavapipe), which runs eight
	// invocations as one vector and loads lane by lane: each invocation
	// works alone on as much as its registers hold.
	CPU
	// CPUTable kernels are CPU kernels that may use the uniform table that
	// package gpu offers on lavapipe: an operand that all invocations of a
	// workgroup share is then loaded once.
	CPUTable
)

func (t Target) String() string {
	return [...]string{"gpu", "cpu", "cpu+table"}[t]
}

// What WebGPU guarantees.
const (
	MaxGroups        = 65535 // workgroups in one dimension
	MaxThreads       = 256   // invocations of a workgroup
	GuaranteedMemory = 16384 // bytes of a workgroup
)

// Fold spreads n workgroups over x and y.
func Fold(n int) [3]uint32 {
	if n <= MaxGroups {
		return [3]uint32{uint32(max(n, 1)), 1, 1}
	}
	y := CeilDiv(n, MaxGroups)
	return [3]uint32{uint32(CeilDiv(n, y)), uint32(y), 1}
}

// CeilDiv is a / b, rounded up.
func CeilDiv(a, b int) int { return (a + b - 1) / b }

// Words4 is the number of u32 words of a row of n int8 values, four a word.
func Words4(n int) int { return CeilDiv(n, 4) }

// Words16 is the number of u32 words of a row of n ternary values, 16 a word.
func Words16(n int) int { return CeilDiv(n, 16) }

// Threads is the number of invocations of a workgroup of an elementwise kernel.
func (t Target) Threads() int {
	if t != GPU {
		return 32
	}
	return 256
}

// Elementwise is the layout of a kernel over a folded index (index.wgsl).
type Elementwise struct{ Threads int }

// Elementwise lays out n invocations.
func (t Target) Elementwise(n int) (Elementwise, [3]uint32) {
	return Elementwise{t.Threads()}, Fold(CeilDiv(n, t.Threads()))
}

// Vectors is the layout of a kernel that does the same with each element. An
// invocation takes a vector of Each elements: four where the rows' length
// allows it, else one.
type Vectors struct {
	Elementwise
	Each int
}

// Vectors lays out a kernel over rows of width elements.
func (t Target) Vectors(rows, width int) (Vectors, [3]uint32) {
	each := 4
	if width%4 != 0 {
		each = 1
	}
	th, groups := t.Elementwise(rows * width / each)
	return Vectors{th, each}, groups
}

// Rowwise is the layout of a kernel over rows (lanes.wgsl): Lanes invocations
// share a row, and a workgroup takes RowsPerGroup rows.
type Rowwise struct{ Threads, Lanes, RowsPerGroup int }

// Rowwise lays out a kernel over rows of width values.
func (t Target) Rowwise(rows, width int) (Rowwise, [3]uint32) {
	if t != GPU {
		return Rowwise{Threads: 16, Lanes: 1, RowsPerGroup: 16}, Fold(CeilDiv(rows, 16))
	}
	lanes := 32
	for lanes < 256 && lanes*8 <= width {
		lanes *= 2
	}
	return Rowwise{Threads: lanes, Lanes: lanes, RowsPerGroup: 1}, Fold(rows)
}

// Single is the layout of one workgroup that shares a list of values.
func (t Target) Single() Rowwise {
	if t != GPU {
		return Rowwise{1, 1, 1}
	}
	return Rowwise{256, 256, 1}
}
