package graph

import (
	"errors"
	"slices"

	"bitnet/shaders"
	"bitnet/shaders/matmul"
	"bitnet/shaders/quantize"
)

// Product is a matrix product of a plan that has several variants: kernels that
// compute the same in different layouts.
type Product struct {
	Key      string            // its shape and all else that makes one variant faster than another
	MatMul   matmul.Product    // of its first call; of others the Gain may differ
	Rounded  bool              // float32 factors are rounded to float16
	Variants []shaders.Variant // the default first
	Calls    int               // in a micro-batch and an update
}

// productKey names a product with all that makes one variant of it faster than another.
func productKey(mm matmul.Product, rounded bool) string {
	key := mm.String()
	for _, flag := range []struct {
		name string
		on   bool
	}{
		{"scale", mm.ScaleK}, {"rows", mm.RowScale}, {"cols", mm.ColScale}, {"residual", mm.Residual},
		{"accumulate", mm.Accumulate}, {"f16", rounded}, {"gain", rounded && mm.Gain != 0 && mm.Gain != 1},
	} {
		if flag.on {
			key += " " + flag.name
		}
	}
	return key
}

// Products lists the products of the plan that have several variants, in the
// order of their first calls.
func (p *Plan) Products() []Product { return slices.Clone(p.products) }

// Use chooses the variants of products, by their keys. A product that is not
// named, or whose variant does not exist or does not fit, uses the default. Each
// call of Use starts from the defaults. It is an error once the plan is compiled.
func (p *Plan) Use(variants map[string]string) error {
	if p.compiled {
		return errors.New("the plan is compiled: choose the variants of its products before")
	}
	for i, c := range p.emitted {
		if name, ok := variants[c.product]; ok && c.product != "" {
			c = c.as(name)
		}
		p.calls[i] = c
	}
	return nil
}

// as is the call by a variant of its product. It is unchanged where there is no
// such variant, or where the variant does not bind and write what the product has.
func (c call) as(name string) call {
	at := slices.IndexFunc(c.variants, func(v shaders.Variant) bool { return v.Name == name })
	if at < 0 {
		return c
	}
	src := c.variants[at].Source()
	out := call{op: c.op, src: src, args: make([]arg, len(src.Names)), product: c.product, variants: c.variants, again: c.again}
	written := 0
	for i, binding := range src.Names {
		j := slices.Index(c.src.Names, binding)
		if j < 0 || src.Writes[i] != c.src.Writes[j] {
			return c
		}
		out.args[i] = c.args[j]
		if src.Writes[i] {
			written++
		}
	}
	for _, w := range c.src.Writes {
		if w {
			written--
		}
	}
	if written != 0 {
		return c
	}
	return out
}

// fewRows is the number of rows up to which a product is bound by reading its
// other factor, so that matrix units gain nothing.
const fewRows = 16

// product emits a matrix product of args, the bindings of mm in order: on matrix
// units or with packed dot products where that changes no result, or where the
// precision asks for it.
func (e *emitter) product(mm matmul.Product, args ...arg) {
	mm.Target = e.target
	if mm.M <= fewRows {
		e.runRows(mm.Source(), args...)
		return
	}
	memory := e.limits.Units.WorkgroupMemory
	exact := mm.Whole()
	var variants []shaders.Variant
	if exact && e.target == shaders.GPU || e.precision != Float32 {
		variants = mm.MatrixVariants(e.limits.Units)
	}
	if exact && e.limits.PackedDot {
		variants = append(variants, mm.PackedVariants(memory)...)
	}
	if len(variants) > 0 {
		if exact {
			variants = append(variants, mm.Variants(memory)[0])
		}
		e.choose(mm, !exact, variants, args...)
		return
	}
	if !exact && e.precision != Float32 {
		mm, args = e.rounded(mm, args)
	}
	e.choose(mm, false, mm.Variants(memory), args...)
}

// choose emits a product that has several variants: the first of them, until
// Plan.Use names another. With rounded they round float32 factors to float16.
func (e *emitter) choose(mm matmul.Product, rounded bool, variants []shaders.Variant, args ...arg) {
	c := call{op: e.op, src: variants[0].Source(), args: args}
	if len(variants) > 1 {
		c.product, c.variants = productKey(mm, rounded), variants
		e.addProduct(Product{Key: c.product, MatMul: mm, Rounded: rounded, Variants: variants})
	}
	e.emit(c)
}

func (e *emitter) addProduct(p Product) {
	at := slices.IndexFunc(e.products, func(q Product) bool { return q.Key == p.Key })
	if at < 0 {
		at = len(e.products)
		e.products = append(e.products, p)
	}
	e.products[at].Calls++
}

// rounded emits kernels that round the float32 factors of a product to float16,
// as matrix units do on the way.
func (e *emitter) rounded(mm matmul.Product, args []arg) (matmul.Product, []arg) {
	out := append([]arg(nil), args...)
	for i, o := range []matmul.Operand{mm.A, mm.B} {
		if o.Kind != matmul.F32 {
			continue
		}
		k := quantize.Half{Target: e.target, Rows: args[i].height(), Cols: args[i].t.Cols, Gain: 1}
		of := []arg{args[i]}
		if i == 0 {
			k.Gain = mm.Gain
			if mm.ScaleK {
				k.ByCol, k.ByRow = o.AlongK, !o.AlongK
				of = append(of, args[2])
			}
		}
		t := tensor("rounded", F32, k.Rows, k.Cols)
		e.runRows(k.Source(), append(of, whole(t))...)
		out[i] = whole(t)
	}
	if mm.ScaleK && mm.A.Kind == matmul.F32 {
		mm.ScaleK = false
		out = append(out[:2], out[3:]...)
	}
	return mm, out
}

// gain lifts the gradients of a mean over tokens into the range of float16:
// those of the logits then lie between -16 and 16, which leaves room for them
// to grow a thousandfold on their way back.
func gain(tokens int) float32 {
	g := float32(16)
	for n := 1; n < tokens; n *= 2 {
		g *= 2
	}
	return g
}
