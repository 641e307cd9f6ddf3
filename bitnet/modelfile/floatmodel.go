package modelfile

// FloatModel is a model of this architecture in which nothing is quantised: its
// projections are float matrices, and so are their inputs.
type FloatModel struct {
	Config Config
	// Values gives a tensor of Config.Tensors, row by row. Callers do not change it.
	Values func(name string) ([]float32, error)
}

// MergeFloat is the float model that a ternary model and its adapter make: each
// projection becomes scale * codes + alpha/r b a. It computes what both do, but for
// their rounding of activations. A projection is computed when Values is asked for it.
func (w *Weights) MergeFloat(a *Adapter) *FloatModel {
	return &FloatModel{Config: w.Config, Values: func(name string) ([]float32, error) {
		m := w.Ternary[name]
		if m == nil {
			return w.Float[name], nil
		}
		values := make([]float32, m.Rows*m.Cols)
		m.Floats(values)
		a.AddTo(values, name)
		return values, nil
	}}
}

// Forward computes the logits [tokens][vocab] of a text as Weights.Forward does.
func (f *FloatModel) Forward(tokens []uint32, r Rounding) ([][]float64, error) {
	var failed error
	shapes := map[string][]int{}
	for _, t := range f.Config.Tensors() {
		shapes[t.Name] = t.Shape
	}
	values := func(name string) []float32 {
		v, err := f.Values(name)
		if err != nil { // the rest is computed for nothing
			failed, v = err, make([]float32, elements(shapes[name]))
		}
		return v
	}
	logits, err := forward(f.Config, tokens, r, values, func(name string, x [][]float64) [][]float64 {
		return multiplyFloats(values(name), shapes[name][0], x, r)
	})
	if failed != nil {
		return nil, failed
	}
	return logits, err
}

// multiplyFloats is y [tokens][rows] = x [tokens][cols], rounded, times the weights
// [rows, cols] transposed.
func multiplyFloats(weights []float32, rows int, x [][]float64, r Rounding) [][]float64 {
	rounded, y := make([][]float64, len(x)), make([][]float64, len(x))
	for t := range x {
		rounded[t] = append([]float64(nil), x[t]...)
		r.apply(rounded[t])
		y[t] = make([]float64, rows)
	}
	each(rows, func(row int) {
		for t, in := range rounded {
			for k, v := range weights[row*len(in):][:len(in)] {
				y[t][row] += float64(v) * in[k]
			}
		}
	})
	return y
}

func elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
