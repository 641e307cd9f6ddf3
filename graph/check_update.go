package graph

import (
	"fmt"
	"math"
	"slices"

	"bitnet/gpu"
	"bitnet/shaders"
)

// updateRun is an update of a few parameters on a device.
type updateRun struct {
	ps      *Params
	params  []*Param
	scratch *arena
	program *gpu.Program
}

// newUpdateRun declares an embedding, a vector and ternary parameters with parts
// of these shapes, clipped by groups if by is not nil. What the update does not read
// starts as NaN.
func newUpdateRun(dev *gpu.Device, target shaders.Target, opt Optimizer, by func(*Param) string, shapes ...[][2]int) (_ *updateRun, err error) {
	r := &updateRun{ps: NewParams(target, LimitsOf(dev.Adapter()))}
	defer func() {
		if err != nil {
			r.release()
		}
	}()
	r.params = append(r.params, r.ps.Matrix("embedding", 9, 5), r.ps.Vector("norm", 11))
	for i, parts := range shapes {
		var list []Part
		for j, s := range parts {
			list = append(list, Part{fmt.Sprintf("w%d.%d", i, j), s[0]})
		}
		r.params = append(r.params, r.ps.Ternary(parts[0][1], list...))
	}
	if err := r.ps.Layout(opt.Storage()); err != nil {
		return nil, err
	}
	if by != nil {
		if err := r.ps.ClipBy(by); err != nil {
			return nil, err
		}
	}
	if err := r.ps.Allocate(dev); err != nil {
		return nil, err
	}
	e := newEmitter(r.ps, true)
	r.ps.emitUpdate(e, opt)
	if r.scratch, err = layOut(e); err != nil {
		return nil, err
	}
	if err := r.scratch.allocate(dev); err != nil {
		return nil, err
	}
	if err := poisonAll(r.scratch); err != nil {
		return nil, err
	}
	r.program, err = assemble(dev, "update", e.calls)
	return r, err
}

func (r *updateRun) release() {
	if r.program != nil {
		r.program.Release()
	}
	if r.scratch != nil {
		r.scratch.release()
	}
	r.ps.Release()
}

// update runs one update and returns the gradient's norm.
func (r *updateRun) update(v StepValues) (float64, error) {
	if err := r.ps.SetStep(v); err != nil {
		return 0, err
	}
	if err := r.program.Run(); err != nil {
		return 0, err
	}
	h, err := r.ps.History(v.Step, v.Step+1)
	if err != nil {
		return 0, err
	}
	return float64(h[0].GradNorm), nil
}

// orthogonalised is the Newton-Schulz iteration on a matrix [rows, cols] in float64.
func orthogonalised(u []float64, rows, cols int) []float64 {
	if rows > cols {
		turned := orthogonalised(transposed(u, rows, cols), cols, rows)
		return transposed(turned, cols, rows)
	}
	norm := 0.0
	for _, v := range u {
		norm += v * v
	}
	x := slices.Clone(u)
	for i := range x {
		x[i] /= math.Sqrt(norm) + 1e-7
	}
	multiply := func(a, b []float64, m, k, n int) []float64 {
		c := make([]float64, m*n)
		for i := range m {
			for l := range k {
				for j := range n {
					c[i*n+j] += a[i*k+l] * b[l*n+j]
				}
			}
		}
		return c
	}
	for range 5 {
		a := multiply(x, transposed(x, rows, cols), rows, cols, rows)
		b := multiply(a, a, rows, rows, rows)
		for i := range b {
			b[i] = -4.7750*a[i] + 2.0315*b[i]
		}
		next := multiply(b, x, rows, rows, cols)
		for i := range next {
			next[i] += 3.4445 * x[i]
		}
		x = next
	}
	return x
}

func transposed(x []float64, rows, cols int) []float64 {
	out := make([]float64, len(x))
	for r := range rows {
		for c := range cols {
			out[c*rows+r] = x[r*cols+c]
		}
	}
	return out
}

// reference is the state of a parameter in float64.
type reference struct{ p, m, v []float64 }

// step changes it by a clipped gradient.
func (r *reference) step(p *Param, g []float64, v StepValues) {
	if !p.ternary {
		t := float64(v.Step + 1)
		for i := range g {
			r.m[i] = 0.9*r.m[i] + 0.1*g[i]
			r.v[i] = 0.95*r.v[i] + 0.05*g[i]*g[i]
			if p.decay {
				r.p[i] *= 1 - v.LearningRate*v.WeightDecay
			}
			r.p[i] -= v.LearningRate * r.m[i] / (1 - math.Pow(0.9, t)) / (math.Sqrt(r.v[i]/(1-math.Pow(0.95, t))) + 1e-8)
		}
		return
	}
	u := make([]float64, len(g))
	for i := range g {
		r.m[i] = 0.95*r.m[i] + g[i]
		u[i] = g[i] + 0.95*r.m[i]
	}
	at := 0
	for _, part := range p.Parts {
		n := part.Rows * p.Cols
		change := orthogonalised(u[at:][:n], part.Rows, p.Cols)
		scale := 0.2 * math.Sqrt(float64(max(part.Rows, p.Cols)))
		for i, c := range change {
			r.p[at+i] = r.p[at+i]*(1-v.LearningRate*v.WeightDecay) - v.LearningRate*scale*c
		}
		at += n
	}
}

// muonShapes are parts of projections that fit the tiles of Muon's products, and
// that do not.
var muonShapes = [][][][2]int{
	{{{7, 13}}, {{64, 192}, {64, 192}}, {{33, 8}, {5, 8}}, {{192, 64}, {64, 64}}, {{64, 192}}, {{1, 13}, {13, 13}}},
	{{{48, 20}, {20, 20}, {20, 20}}, {{20, 48}}},
}

// checkedMuon has AdamW for the embedding and the vector, so that it checks both.
var checkedMuon = Muon{Momentum: 0.95, AdamW: AdamW{0.9, 0.95, 1e-8}}

func updateChecks(target shaders.Target) (out []Check) {
	for i, shapes := range muonShapes {
		out = append(out, Check{fmt.Sprintf("four updates by AdamW and Muon, projections %d", i+1), func(dev *gpu.Device, v *verdict) error {
			return checkUpdates(dev, target, shapes, v)
		}})
	}
	return out
}

// checkUpdates compares several steps with float64; the last one clips.
func checkUpdates(dev *gpu.Device, target shaders.Target, shapes [][][2]int, v *verdict) error {
	m, err := newUpdateRun(dev, target, checkedMuon, nil, shapes...)
	if err != nil {
		return err
	}
	defer m.release()
	v.ran(updateSources(m.ps)...)
	var refs []*reference
	for i, p := range m.params {
		start := random(uint64(i+1), p.Rows, p.Cols)
		if err := p.Write(Master, start.f32()); err != nil {
			return err
		}
		refs = append(refs, &reference{slices.Clone(start.v), make([]float64, p.size()), make([]float64, p.size())})
	}
	for s := range 4 {
		values := StepValues{Step: int64(s), LearningRate: 0.01 * float64(s+1), WeightDecay: 0.1 * float64(3-s), MaxNorm: 3, Beta1: 0.9, Beta2: 0.95}
		if err := m.checkStep(s, values, refs, v); err != nil {
			return err
		}
	}
	return nil
}

// updateSources are the kernels of an update.
func updateSources(ps *Params) (out []shaders.Source) {
	e := newEmitter(ps, true)
	ps.emitUpdate(e, checkedMuon)
	for _, c := range e.calls {
		out = append(out, c.src)
	}
	return out
}

// checkStep takes step s on the device and in float64.
func (r *updateRun) checkStep(s int, values StepValues, refs []*reference, v *verdict) error {
	norm := 0.0
	var grads []matrix
	for i, p := range r.params {
		g := random(uint64(100*s+i+50), p.Rows, p.Cols)
		for j := range g.v {
			g.v[j] = float64(float32(g.v[j] * 0.03 * float64(s+1)))
			norm += g.v[j] * g.v[j]
		}
		grads = append(grads, g)
		if err := p.Write(Grad, g.f32()); err != nil {
			return err
		}
	}
	norm = math.Sqrt(norm)
	got, err := r.update(values)
	if err != nil {
		return err
	}
	v.near("gradient norm", []float64{norm}, []float64{got}, 1e-5)
	if s == 3 && norm <= values.MaxNorm {
		v.fail("the last step must clip")
	}
	clip := min(1, values.MaxNorm/(norm+1e-6))
	for i, p := range r.params {
		for j := range grads[i].v {
			grads[i].v[j] *= clip
		}
		refs[i].step(p, grads[i].v, values)
		if err := r.checkParam(s, p, refs[i], v); err != nil {
			return err
		}
	}
	return nil
}

func (r *updateRun) checkParam(s int, p *Param, ref *reference, v *verdict) error {
	name := fmt.Sprintf("step %d, %s", s, p.Parts[0].Name)
	slots := []struct {
		slot      Slot
		want      []float64
		tolerance float64
	}{
		{FirstMoment, ref.m, exact32},
		{Master, ref.p, 1e-4},
		{Grad, make([]float64, p.size()), 0},
		{SecondMoment, ref.v, exact32},
	}
	for _, x := range slots {
		if !p.Keeps(x.slot) {
			continue
		}
		got := make([]float32, p.size())
		if err := p.Read(x.slot, got); err != nil {
			return err
		}
		if x.tolerance == 0 {
			if !slices.Equal(x.want, widen(got)) {
				v.fail("%s: the gradient does not start again from zero", name)
			}
			continue
		}
		v.near(fmt.Sprintf("%s, %s", name, x.slot), x.want, widen(got), x.tolerance)
	}
	return nil
}
