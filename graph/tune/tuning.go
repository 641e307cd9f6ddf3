package tune

import "bitnet/graph"

// Choice is what was measured of a product, in seconds per call.
type Choice struct {
	Variant        string  `json:"variant"`
	Seconds        float64 `json:"seconds"`
	Default        string  `json:"default"` // the variant without tuning
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

// Tuning is the choice for each product, by graph.Product's Key.
type Tuning map[string]Choice

// Variants are the chosen variants, for graph.Plan.Use.
func (t Tuning) Variants() map[string]string {
	out := make(map[string]string, len(t))
	for key, c := range t {
		out[key] = c.Variant
	}
	return out
}

// Of is the part of a tuning that belongs to a plan.
func (t Tuning) Of(p *graph.Plan) Tuning {
	out := Tuning{}
	for _, x := range p.Products() {
		if c, ok := t[x.Key]; ok {
			out[x.Key] = c
		}
	}
	return out
}
