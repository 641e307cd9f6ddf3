package graph

import "fmt"

// blockStep is what the rows of a block are a multiple of, so that the shapes of all
// kernels over it stay regular.
const blockStep = 64

// blocksOf cuts a parameter whose values take more than an adapter binds at once: into
// blocks of rows, each a parameter with tensors of its own. It is nil where one tensor
// does. Projections are cut between their parts, since the scale of a part depends on
// all of it, and keep their ternary form in one piece.
func (ps *Params) blocksOf(p *Param) []*Param {
	limit := min(ps.Limits.Binding, ps.Limits.Buffer)
	if p.IsVector() || 4*int64(p.size()) <= limit || p.ternary && len(p.Parts) == 1 {
		return nil
	}
	limit = limit / momentBytes * momentBytes // blocks are padded to blocks of moments
	var heights []int
	if p.ternary {
		for _, part := range p.Parts {
			heights = append(heights, part.Rows)
		}
	} else {
		most := int(limit/(4*int64(max(p.Cols, headRowsLeast)))) / blockStep * blockStep
		if most == 0 {
			return nil // Layout says what is too large
		}
		n := (p.Rows + most - 1) / most
		each := int(roundUp(int64((p.Rows+n-1)/n), blockStep))
		for left := p.Rows; left > 0; left -= each {
			heights = append(heights, min(each, left))
		}
	}
	var out []*Param
	first := 0
	for i, rows := range heights {
		name := fmt.Sprintf("%s, block %d", p.Parts[0].Name, i+1)
		out = append(out, &Param{Rows: rows, Cols: p.Cols, Parts: []Part{{name, rows}},
			decay: p.decay, frozen: p.frozen, ternary: p.ternary, first: first})
		first += rows
	}
	return out
}

// stored lists what has tensors of values, gradients and moments: the blocks of a
// parameter, or itself.
func (p *Param) stored() []*Param {
	if p.blocks == nil {
		return []*Param{p}
	}
	return p.blocks
}

// storedOf lists the same of several parameters.
func storedOf(list []*Param) []*Param {
	out := make([]*Param, 0, len(list))
	for _, p := range list {
		out = append(out, p.stored()...)
	}
	return out
}

// eachBlock calls f with the values of each block that values touch. These are values
// of the parameter from number at on, and so are those of f of the block.
func (p *Param) eachBlock(at int, values []float32, f func(b *Param, at int, values []float32) error) error {
	if p.blocks == nil {
		return f(p, at, values)
	}
	if at < 0 || at+len(values) > p.size() {
		return fmt.Errorf("%s has %d values: there are no %d from number %d on", p.Parts[0].Name, p.size(), len(values), at)
	}
	for _, b := range p.blocks {
		from, to := max(at, b.first*p.Cols), min(at+len(values), b.first*p.Cols+b.size())
		if from >= to {
			continue
		}
		if err := f(b, from-b.first*p.Cols, values[from-at:to-at]); err != nil {
			return err
		}
	}
	return nil
}
