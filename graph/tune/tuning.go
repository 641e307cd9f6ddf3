package graph

import (
	"slices"

	"bitnet/shaders"
)

// Choice is what was measured of a product, in seconds a call.
type Choice struct {
	Variant        string  `json:"variant"`
	Seconds        float64 `json:"seconds"`
	Default        string  `json:"default"` // what would be taken without tuning
	DefaultSeconds float64 `json:"default_seconds"`
	Cut            bool    `json:"cut,omitempty"` // there was no time for all variants
}

// Gain is how many times as fast as the default the choice is.
func (c Choice) Gain() float64 {
	if c.Seconds <= 0 { // it could not be measured
		return 1
	}
	return c.DefaultSeconds / c.Seconds
}

// Tuning chooses the variants of products. A product that is not in it, or
// whose variant there is not (any more) or does not fit, takes the default.
type Tuning map[string]Choice

// tunable is a matrix tunable that has several variants.
type tunable struct {
	key      string
	mm       shaders.MatMul
	rounded  bool // factors are rounded to float16
	variants []shaders.Variant
	calls    int // in a micro-batch
}

// pick takes one of the variants of a product, the first if nothing else was
// chosen. With rounded they round float32 factors to float16.
func (e *emitter) pick(mm shaders.MatMul, rounded bool, variants []shaders.Variant) shaders.Source {
	if len(variants) < 2 {
		return variants[0].Source()
	}
	key := productKey(mm, rounded)
	at := slices.IndexFunc(e.products, func(p tunable) bool { return p.key == key })
	if at < 0 {
		at = len(e.products)
		e.products = append(e.products, tunable{key, mm, rounded, variants, 0})
	}
	e.products[at].calls++
	name := e.tuning[key].Variant
	for _, v := range variants {
		if v.Name == name {
			return v.Source()
		}
	}
	return variants[0].Source()
}

// productKey names a product with all that makes one variant of it faster than another.
func productKey(mm shaders.MatMul, rounded bool) string {
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

// Of is the part of a tuning that belongs to a plan.
func (t Tuning) Of(p *Plan) Tuning {
	out := Tuning{}
	for _, x := range p.products {
		if c, ok := t[x.key]; ok {
			out[x.key] = c
		}
	}
	return out
}

// Product is a matrix product of a plan that has several variants.
type Product struct {
	Name     string
	Variants []string // the default first
}

// Products are those to tune.
func (p *Plan) Products() []Product {
	var out []Product
	for _, x := range p.products {
		q := Product{Name: x.key}
		for _, v := range x.variants {
			q.Variants = append(q.Variants, v.Name)
		}
		out = append(out, q)
	}
	return out
}
