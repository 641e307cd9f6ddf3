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
	if k.BySquares() {
		x = o.iterateOnSquares(e, k, x)
	} else {
		x = o.iterate(e, k, x)
	}
	e.run(k.End(), o.places, x, ps.step, weights, &grads)
}

// iterate emits the Newton-Schulz steps x <- q(x x^T) x.
func (o *orthogonal) iterate(e *emitter, k optimizer.Orthogonal, x *Tensor) *Tensor {
	for range optimizer.NewtonSchulzSteps {
		a := e.square(k, "x x^T")
		e.multiply(k.Gram(), x, x, a)
		q := e.square(k, "q")
		e.multiply(k.Polynomial(), a, a, a, q)
		next := tensor("directions", F32, x.Rows, x.Cols)
		e.multiply(k.Next(), q, x, next)
		x = next
	}
	return x
}

// iterateOnSquares emits the same steps on a = x x^T, which becomes q(a) a q(a), and
// multiplies x once, with the product of all q(a): all of them commute. It takes
// 8.5 + 1.5 Cols / Rows products of Rows^3 multiplications, iterate 2.5 + 7.5 Cols / Rows.
// Rounding makes an error of some 1e-4 of the result, and of some 1e-5 in iterate.
func (o *orthogonal) iterateOnSquares(e *emitter, k optimizer.Orthogonal, x *Tensor) *Tensor {
	commuting := func(name string, a, b *Tensor) *Tensor {
		c := e.square(k, name)
		e.multiply(k.Commuting(), a, b, c)
		return c
	}
	a := e.square(k, "x x^T")
	e.multiply(k.Gram(), x, x, a)
	var all *Tensor
	for step := range optimizer.NewtonSchulzSteps {
		q := e.square(k, "q")
		e.multiply(k.Polynomial(), a, a, a, q)
		if step == 0 {
			all = q
		} else {
			all = commuting("product of q", q, all)
		}
		if step < optimizer.NewtonSchulzSteps-1 {
			a = commuting("x x^T", commuting("q x x^T", q, a), q)
		}
	}
	out := tensor("directions", F32, x.Rows, x.Cols)
	e.multiply(k.Next(), all, x, out)
	return out
}

// square is a matrix [Rows, Rows] for each of those that are orthogonalised together.
func (e *emitter) square(k optimizer.Orthogonal, name string) *Tensor {
	return tensor(name, F32, k.Count*k.Rows, k.Rows)
}

// multiply emits a product in float32 in any precision.
func (e *emitter) multiply(mm matmul.Product, args ...*Tensor) {
	e.choose(mm, false, mm.Variants(e.limits.Units.WorkgroupMemory), wholes(args...)...)
}
