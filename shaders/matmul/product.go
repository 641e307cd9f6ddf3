// Package matmul has the kernels of matrix products.
package matmul

import (
	"embed"
	"fmt"

	"bitnet/shaders"
)

//go:embed *.wgsl
var files embed.FS

var family = shaders.NewFamily("matmul", files, "uniform.wgsl", "lanes.wgsl")

// Kind is how the elements of an operand are stored.
type Kind int

const (
	F32     Kind = iota
	Int8         // four a u32
	Ternary      // 16 a u32, codes w + 1
)

func (k Kind) String() string { return [...]string{"f32", "int8", "ternary"}[k] }

// Operand is one factor of a matrix product.
type Operand struct {
	Kind Kind
	// AlongK says that a stored row runs along the summed dimension: a is
	// stored [M, K], b [N, K]. Otherwise a is stored [K, M], b [K, N].
	AlongK bool
}

// Product is c[m, n] = rows[m] cols[n] sum_k a(m, k) scale[k] b(k, n), plus a
// residual or the previous value of c.
//
// Bindings: a, b, then those of scale [K], rows [M], cols [N] and residual
// [M, N] that are used, then c [M, N]. In a batch a, b, residual and c hold Batch
// matrices one after another; the other factors serve all of them.
type Product struct {
	Target                     shaders.Target
	M, N, K                    int
	A, B                       Operand
	ScaleK, RowScale, ColScale bool
	Residual, Accumulate       bool
	// Gain is a power of two by which a is multiplied before it is rounded to
	// fewer bits, and the sum divided; 0 means 1. Only MatrixVariants round.
	Gain float32
	// Batch is how many products of this shape one dispatch computes; 0 means 1.
	Batch int
	// Alpha multiplies the sum and Beta the residual; 0 means 1. Diagonal is added to
	// each c[i, i]. Products with any of Batch, Alpha, Beta, Diagonal and Symmetric
	// have no kernels on matrix units or of packed bytes.
	Alpha, Beta, Diagonal float32
	// Symmetric says that c is symmetric, and the residual too: tiles below the
	// diagonal are not computed, but copied from those above. Where a tile meets the
	// diagonal, c[i, j] and c[j, i] may differ by rounding.
	Symmetric bool
}

// Count is the number of products of a dispatch.
func (k Product) Count() int { return max(k.Batch, 1) }

// Batched says whether there are several products.
func (k Product) Batched() bool { return k.Batch > 1 }

// plain says whether it is one product without factors of its own.
func (k Product) plain() bool {
	return !k.Batched() && k.Alpha == 0 && k.Beta == 0 && k.Diagonal == 0 && !k.Symmetric
}

// flops is its arithmetic.
func (k Product) flops() float64 {
	n := float64(k.Count()) * float64(k.M) * float64(k.K)
	if k.Symmetric {
		return n * float64(k.M+1) // half of the result, with the diagonal
	}
	return 2 * n * float64(k.N)
}

// Whole says whether it sums products of whole numbers: int8 by int8 or ternary.
func (k Product) Whole() bool { return k.A.Kind == Int8 && k.B.Kind != F32 && !k.ScaleK }

// integer says whether both factors are whole numbers, with nothing past the
// end of a row that counts.
func (k Product) integer() bool {
	return k.Whole() && (k.B.Kind == Int8 || !k.B.AlongK || k.K%16 == 0)
}

// Source specialises the kernel, in the variant that is taken unless another is measured to be faster.
func (k Product) Source() shaders.Source { return k.Variants(0)[0].Source() }

// Variants are the kernels that compute the product from its operands as they
// are, each in a layout that fits the shapes. Source is the first. The adapter's
// workgroups have memory bytes, 0 for what WebGPU guarantees.
func (k Product) Variants(memory int) []shaders.Variant {
	tiles := k.tilings(memory)
	p := k.params(tiles[0])
	var tables []shaders.Variant
	if k.Target == shaders.CPUTable {
		tables = p.tables()
	}
	// Where a table adds two rows of whole numbers at once, that beats reading b only once.
	paired := len(tables) > 0 && k.Whole() && k.M >= pairedRows
	if r, fits := p.rows(); fits && k.plain() && !paired {
		return []shaders.Variant{k.variant("rows", k.String(), r.file(), shaders.Fold(shaders.CeilDiv(k.N, r.Cols)), r)}
	}
	if len(tables) > 0 {
		return tables
	}
	var out []shaders.Variant
	for _, t := range tiles {
		p := k.params(t)
		out = append(out, k.variant(t.String(), k.String(), "product.wgsl", p.groups(), p))
	}
	return out
}

// variant names a kernel of the product.
func (k Product) variant(name, label, file string, groups [3]uint32, params any) shaders.Variant {
	return shaders.Variant{Name: name, Source: func() shaders.Source {
		s := family.Source(file, label, groups, k.flops(), params)
		s.Variant = name
		return s
	}}
}

// String names the product in labels.
func (k Product) String() string {
	name := fmt.Sprintf("matmul %dx%dx%d %s%s.%s%s", k.M, k.N, k.K, k.A.Kind, letter(k.A, "nt"), k.B.Kind, letter(k.B, "tn"))
	if k.Symmetric {
		name += ", symmetric"
	}
	if k.Batched() {
		name += fmt.Sprintf(", %d times", k.Batch)
	}
	return name
}

func letter(o Operand, letters string) string {
	if o.AlongK {
		return "." + letters[:1]
	}
	return "." + letters[1:]
}
