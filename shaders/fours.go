package shaders

// ActivationFloor is the least magnitude that the quantisation of activations
// divides by (BitNet b1.58).
const ActivationFloor = 1e-5

// Fours are rows of floats that a kernel reads in vectors of four (fours.wgsl).
type Fours struct {
	target Target
	width  int
}

// Fours describes rows of width floats.
func (t Target) Fours(width int) Fours { return Fours{t, width} }

// Words is the number of vectors in a row.
func (f Fours) Words() int { return Words4(f.width) }

// Table says whether the weights of columns are loaded through the uniform table.
func (f Fours) Table() bool { return f.target == CPUTable && f.Words() <= MaxUniform }

// Odd says whether the length of a row is no multiple of four, so that
// elements are read one by one.
func (f Fours) Odd() bool { return f.width%4 != 0 }

// Four is the type of the elements of arrays of such rows.
func (f Fours) Four() string {
	if f.Odd() {
		return "f32"
	}
	return "vec4<f32>"
}

// Columns are those columns of an array that load4 and put4 access.
type Columns struct {
	Name, From        string // of the function, and of the array
	Width, At, Stride int    // columns, the first of them, and all of a row
	Odd               bool
	Accumulate        bool // put4 adds to what is there
}

// Array is a whole array of rows, by the name of its binding.
func (f Fours) Array(name string) Columns { return f.Columns(name, name, 0, f.width) }

// Columns is a part of an array whose rows have stride columns, from column at on.
func (f Fours) Columns(name, from string, at, stride int) Columns {
	return Columns{Name: name, From: from, Width: f.width, At: at, Stride: stride, Odd: f.Odd()}
}
