package graph

import (
	"bitnet/shaders/matmul"
	"bitnet/shaders/optimizer"
)

// Muon changes ternary projections by their momentum with all singular values
// brought near 1 (Jordan et al., Muon: An optimizer for hidden layers in neural
// networks, 2024), and all other parameters by AdamW. The change of a projection
// [n, k] is scaled by 0.2 sqrt(max(n, k)), so that it has the root mean square of
// AdamW's and one learning rate and one weight decay serve both (Liu et al., Muon
// is scalable for LLM training, arXiv 2502.16982).
//
//	m <- mu m + g;  u = g + mu m;  w <- w (1 - lr wd) - lr 0.2 sqrt(max(n, k)) NS5(u / |u|)
type Muon struct {
	Momentum float32 // mu, Nesterov's
	AdamW    AdamW   // of embedding, head and norms
}

// Storage is ForMuon.
func (o Muon) Storage() Storage { return ForMuon }

// orthogonal are matrices of one shape that are orthogonalised together: parts
// of the ternary parameters of a run.
type orthogonal struct {
	run        *ternaryRun
	rows, cols int // rows <= cols: taller matrices are transposed
	list       []optimizer.Place
	places     *Tensor
}

// orthogonalBytes bounds the copies of matrices that are orthogonalised together,
// unless one alone is larger.
const orthogonalBytes = 64 << 20

// layoutOrthogonal collects the ternary matrices by run and shape.
func (ps *Params) layoutOrthogonal() error {
	ps.orthogonal = nil
	most := min(orthogonalBytes, ps.Limits.Binding)
	for _, run := range ps.runs {
		open := map[[2]int]*orthogonal{} // by shape, with room for more
		for _, p := range run.kernels.Projections {
			shape := [2]int{min(p.Rows, p.K), max(p.Rows, p.K)}
			o := open[shape]
			if o == nil || 4*int64(len(o.list)+1)*int64(p.Rows)*int64(p.K) > most {
				o = &orthogonal{run: run, rows: shape[0], cols: shape[1]}
				open[shape] = o
				ps.orthogonal = append(ps.orthogonal, o)
			}
			o.list = append(o.list, optimizer.Place{At: p.Weight, Transposed: p.Rows > p.K})
		}
	}
	for _, o := range ps.orthogonal {
		o.places = tensor("places of orthogonalised matrices", U32, 1, len(optimizer.Places(o.list)))
		if err := ps.small.append(o.places); err != nil {
			return err
		}
	}
	return nil
}

func (o Muon) emit(e *emitter, ps *Params) {
	for _, r := range ps.ranges() {
		if r.second {
			o.AdamW.emitRange(e, ps, r)
			continue
		}
		k := optimizer.Momentum{Target: e.target, N: r.n, Group: r.group, Mu: o.Momentum}
		e.run(k.Source(), r.of(r.first.grad), r.of(r.first.m), ps.state)
	}
	e.op = "orthogonalise"
	for _, x := range ps.orthogonal {
		x.emit(e, ps)
	}
}

// emit emits the change of all matrices by the directions that the arena of
// gradients holds, and sets the gradients to zero.
func (o *orthogonal) emit(e *emitter, ps *Params) {
	k := optimizer.Orthogonal{Target: e.target, Count: len(o.list), Rows: o.rows, Cols: o.cols}
	weights := o.run.weights
	grads := *weights
	grads.Name, grads.arena = ps.grads.name, ps.grads

	part := tensor("squares of directions", F32, k.Count, k.Parts())
	factor := tensor("factors of directions", F32, 1, k.Count)
	x := tensor("directions", F32, k.Count*k.Rows, k.Cols)
	e.run(k.Squares(), o.places, &grads, part)
	e.run(k.Factor(), part, factor)
	e.run(k.Start(), o.places, &grads, factor, x)
	multiply := func(mm matmul.Product, args ...*Tensor) {
		e.choose(mm, false, mm.Variants(e.limits.Units.WorkgroupMemory), wholes(args...)...)
	}
	for range optimizer.NewtonSchulzSteps {
		gram := tensor("x x^T", F32, k.Count*k.Rows, k.Rows)
		polynomial := tensor("b a + c a a", F32, k.Count*k.Rows, k.Rows)
		next := tensor("directions", F32, k.Count*k.Rows, k.Cols)
		multiply(k.Gram(), x, x, gram)
		multiply(k.Polynomial(), gram, gram, gram, polynomial)
		multiply(k.Next(), polynomial, x, x, next)
		x = next
	}
	e.run(k.End(), o.places, x, ps.step, weights, &grads)
}
