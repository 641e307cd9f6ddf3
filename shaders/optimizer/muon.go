package optimizer

import (
	"fmt"
	"math"

	"bitnet/shaders"
	"bitnet/shaders/matmul"
)

// Momentum is the first kernel of Muon, on N parameters. Bindings: g, m, state.
type Momentum struct {
	Target shaders.Target
	N      int
	Group  int // of parameters that are clipped together: ClipGroups
	Mu     float32
}

func (k Momentum) Source() shaders.Source {
	v, groups := k.Target.Vectors(1, k.N)
	return family.Source("muon_momentum.wgsl", fmt.Sprintf("momentum %d", k.N), groups, 5*float64(k.N), struct {
		Momentum
		shaders.Vectors
		Clip int
	}{k, v, shaders.StateClip + k.Group})
}

// Orthogonal has the kernels that orthogonalise Count matrices [Rows, Cols],
// Rows <= Cols, together, each by itself.
type Orthogonal struct {
	Target            shaders.Target
	Count, Rows, Cols int
}

// Place says where a matrix lies in the flat parameters: its first element, and
// whether it is stored as [Cols, Rows].
type Place struct {
	At         int
	Transposed bool
}

// Places is the content of the binding places.
func Places(list []Place) []uint32 {
	var out []uint32
	for _, p := range list {
		transposed := uint32(0)
		if p.Transposed {
			transposed = 1
		}
		out = append(out, uint32(p.At), transposed)
	}
	return out
}

// Parts is the number of partial sums of a matrix.
func (k Orthogonal) Parts() int { return min(64, shaders.CeilDiv(k.Rows*k.Cols, 4096)) }

func (k Orthogonal) name(step string) string {
	return fmt.Sprintf("muon %s %dx%d, %d times", step, k.Rows, k.Cols, k.Count)
}

func (k Orthogonal) elements() int { return k.Count * k.Rows * k.Cols }

type sums struct {
	Orthogonal
	shaders.Rowwise
	Parts int
}

// Squares sums squares. Bindings: places, g, part [Count, Parts()].
func (k Orthogonal) Squares() shaders.Source {
	layout, groups := k.Target.Rowwise(k.Count*k.Parts(), 4096)
	return family.Source("muon_squares.wgsl", k.name("squares"), groups, 2*float64(k.elements()), sums{k, layout, k.Parts()})
}

// Factor makes norms of the sums. Bindings: part, factor [1, Count].
func (k Orthogonal) Factor() shaders.Source {
	return family.Source("muon_factor.wgsl", k.name("factor"), shaders.Fold(k.Count), float64(k.Count*k.Parts()), sums{k, k.Target.Single(), k.Parts()})
}

// Start copies the matrices. Bindings: places, g, factor, x [Count, Rows, Cols].
func (k Orthogonal) Start() shaders.Source {
	e, groups := k.Target.Elementwise(k.elements())
	return family.Source("muon_start.wgsl", k.name("start"), groups, float64(k.elements()), struct {
		Orthogonal
		shaders.Elementwise
	}{k, e})
}

// The polynomial a x + b x^3 + c x^5 of the Newton-Schulz iteration brings
// singular values near 1 in NewtonSchulzSteps steps (Jordan et al., Muon, 2024).
const (
	NewtonSchulzSteps = 5

	newtonA, newtonB, newtonC = 3.4445, -4.7750, 2.0315
)

// Gram is a = x x^T [Rows, Rows]. Operands: x, x, a.
func (k Orthogonal) Gram() matmul.Product {
	return matmul.Product{Target: k.Target, Batch: k.Count, M: k.Rows, N: k.Rows, K: k.Cols, A: along, B: along, Symmetric: true}
}

// Polynomial is q = newtonA i + newtonB a + newtonC a a, so that a Newton-Schulz step
// makes q x of x. Operands: a, a, a, q.
func (k Orthogonal) Polynomial() matmul.Product {
	p := k.Commuting()
	p.Residual, p.Alpha, p.Beta, p.Diagonal = true, newtonC, newtonB, newtonA
	return p
}

// Commuting is the product of two symmetric matrices [Rows, Rows] that are polynomials
// of the same one, and so is symmetric too. Operands: its factors, and the result.
func (k Orthogonal) Commuting() matmul.Product {
	return matmul.Product{Target: k.Target, Batch: k.Count, M: k.Rows, N: k.Rows, K: k.Rows, A: along, B: across, Symmetric: true}
}

// Next is y = q x [Rows, Cols]. Operands: q, x, y.
func (k Orthogonal) Next() matmul.Product {
	return matmul.Product{Target: k.Target, Batch: k.Count, M: k.Rows, N: k.Cols, K: k.Rows, A: along, B: across}
}

// along and across are float operands: stored rows run along the summed dimension, or
// across it.
var along, across = matmul.Operand{Kind: matmul.F32, AlongK: true}, matmul.Operand{Kind: matmul.F32}

// BySquares says whether the iteration on the products of the rows, [Rows, Rows], needs
// less arithmetic than that on the matrices themselves.
func (k Orthogonal) BySquares() bool { return k.Cols > k.Rows }

// End changes the parameters. Bindings: places, x, step, p, g.
func (k Orthogonal) End() shaders.Source {
	e, groups := k.Target.Elementwise(k.elements())
	return family.Source("muon_end.wgsl", k.name("end"), groups, 5*float64(k.elements()), struct {
		Orthogonal
		shaders.Elementwise
		LR, WD int
		Scale  float32
	}{k, e, shaders.StepLR, shaders.StepDecay, float32(0.2 * math.Sqrt(float64(k.Cols)))})
}
