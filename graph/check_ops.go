package graph

import (
	"fmt"
	"math"
	"slices"

	"bitnet/gpu"
	"bitnet/shaders"
	"bitnet/shaders/rows"
)

// trialRow is one operation's row in the table of the gradient test: how to
// build it, and its float64 reference over the inputs and then the parameters.
type trialRow struct {
	name      string
	test      trial
	reference func(in []matrix) []float64
	tolerance float64
	few       bool // whether it is also for kernels of a foreign layout
}

func gradientTable() []trialRow {
	return slices.Concat(embeddingRows(), normRows(), ropeRows(), attentionRows(), lowRankRows())
}

// embeddingRows look up tokens of which some come several times and some never.
func embeddingRows() (rows []trialRow) {
	for i, s := range [][4]int{{2, 3, 1}, {37, 5, 70}, {9, 300, 20}, {200, 80, 70, 32 << 10}} {
		vocab, width, tokens := s[0], s[1], s[2] // and the limit of a binding: the last table lies in four blocks
		ids := make([]uint32, tokens)
		for t := range ids {
			ids[t] = uint32(t*t*5+t) % uint32(vocab)
		}
		seed := uint64(3000 + 100*i)
		rows = append(rows, trialRow{fmt.Sprintf("embedding %dx%d of %d tokens", vocab, width, tokens), trial{
			batch: 1, seq: tokens, tokens: ids, binding: int64(s[3]),
			params: []matrix{random(seed+1, vocab, width)},
			dy:     random(seed+2, tokens, width),
			build:  func(g *Graph, _ []*Tensor, p []*Param) *Tensor { return g.Embedding(p[0]) },
		}, func(in []matrix) (y []float64) {
			for _, id := range ids {
				y = append(y, in[0].v[int(id)*width:][:width]...)
			}
			return y
		}, 2e-5, i == 2})
	}
	return rows
}

// normRows are RMSNorm with and without a gated activation.
func normRows() (rows []trialRow) {
	for i, s := range [][2]int{{1, 1}, {3, 37}, {37, 3}, {5, 64}, {70, 20}, {20, 300}, {9, 333}} {
		seed := uint64(100 * i)
		tokens, width := s[0], s[1]
		few := i >= 5 // wider than the invocations of a workgroup
		for _, residual := range []bool{false, true} {
			rows = append(rows, trialRow{fmt.Sprintf("norm %dx%d add=%v", tokens, width, residual), trial{
				batch: 1, seq: tokens, residual: residual,
				inputs: []matrix{random(seed+1, tokens, width)},
				params: []matrix{random(seed+2, 1, width)},
				dy:     random(seed+3, tokens, width),
				build: func(g *Graph, x []*Tensor, p []*Param) *Tensor {
					return g.RMSNorm(x[0], p[0], 1e-5)
				},
			}, func(in []matrix) []float64 { return normReference(in[0], in[1], 1e-5) }, 2e-5, few})
		}
		for _, act := range []Activation{SiLU, Relu2} {
			rows = append(rows, trialRow{fmt.Sprintf("glu+norm %dx%d act=%d", tokens, width, act), trial{
				batch: 1, seq: tokens, residual: act == Relu2,
				inputs: []matrix{random(seed+4, tokens, 2*width)},
				params: []matrix{random(seed+6, 1, width)},
				dy:     random(seed+5, tokens, width),
				build: func(g *Graph, x []*Tensor, p []*Param) *Tensor {
					return g.norm("glu+norm", x[0], p[0], gated(x[0], act, 1e-5))
				},
			}, func(in []matrix) []float64 {
				return normReference(matrix{tokens, width, gluReference(in[0], act)}, in[1], 1e-5)
			}, 2e-5, few})
		}
	}
	return rows
}

func normReference(x, w matrix, eps float64) []float64 {
	y := make([]float64, len(x.v))
	for t := range x.rows {
		row := x.v[t*x.cols:][:x.cols]
		sum := 0.0
		for _, v := range row {
			sum += v * v
		}
		r := 1 / math.Sqrt(sum/float64(x.cols)+eps)
		for i, v := range row {
			y[t*x.cols+i] = v * r * w.v[i]
		}
	}
	return y
}

func gluReference(gu matrix, act Activation) []float64 {
	f := gu.cols / 2
	y := make([]float64, gu.rows*f)
	for t := range gu.rows {
		for i := range f {
			g, u := gu.v[t*gu.cols+i], gu.v[t*gu.cols+f+i]
			if act == Relu2 {
				g = max(g, 0) * max(g, 0)
			} else {
				g /= 1 + math.Exp(-g)
			}
			y[t*f+i] = g * u
		}
	}
	return y
}

// Odd and regular shapes for foreign layouts are in the golden values.
func attentionRows() (rows []trialRow) {
	for i, s := range []struct {
		batch, seq int
		h          Heads
	}{
		{1, 1, Heads{1, 1, 4}}, {2, 3, Heads{2, 2, 8}}, {1, 37, Heads{3, 1, 4}}, {2, 9, Heads{6, 2, 12}}, {1, 70, Heads{2, 1, 16}}, {1, 150, Heads{4, 2, 8}},
	} {
		seed := uint64(1000 + 100*i)
		tokens := s.batch * s.seq
		rows = append(rows, trialRow{fmt.Sprintf("attention %dx%d %v", s.batch, s.seq, s.h), trial{
			batch: s.batch, seq: s.seq,
			inputs: []matrix{random(seed+1, tokens, s.h.Features())},
			dy:     random(seed+2, tokens, s.h.Query*s.h.Dim),
			build:  func(g *Graph, x []*Tensor, _ []*Param) *Tensor { return g.Attention(x[0], s.h) },
		}, func(in []matrix) []float64 { return attentionReference(in[0], s.batch, s.seq, s.h) }, 2e-5, false})
	}
	return rows
}

func attentionReference(qkv matrix, batch, seq int, h Heads) []float64 {
	o := make([]float64, batch*seq*h.Query*h.Dim)
	at := func(b, t, head int) []float64 { return qkv.v[(b*seq+t)*qkv.cols+head*h.Dim:][:h.Dim] }
	for b := range batch {
		for n := range h.Query {
			kv := n / (h.Query / h.KV)
			for t := range seq {
				q := at(b, t, n)
				p := make([]float64, t+1)
				sum := 0.0
				for j := range p {
					for i, k := range at(b, j, h.Query+kv) {
						p[j] += q[i] * k
					}
					p[j] = math.Exp(p[j] / math.Sqrt(float64(h.Dim)))
					sum += p[j]
				}
				out := o[((b*seq+t)*h.Query+n)*h.Dim:][:h.Dim]
				for j := range p {
					for i, v := range at(b, j, h.Query+h.KV+kv) {
						out[i] += p[j] / sum * v
					}
				}
			}
		}
	}
	return o
}

// ropeRows rotate in place, so the input is the result as well.
func ropeRows() (rows []trialRow) {
	for i, s := range []struct {
		batch, seq int
		h          Heads
		theta      float64
	}{
		{1, 1, Heads{1, 1, 4}, 10000}, {2, 3, Heads{2, 2, 8}, 500000}, {1, 37, Heads{3, 1, 12}, 10000},
	} {
		seed := uint64(2000 + 100*i)
		tokens := s.batch * s.seq
		rows = append(rows, trialRow{fmt.Sprintf("rope %dx%d %v", s.batch, s.seq, s.h), trial{
			batch: s.batch, seq: s.seq,
			inputs: []matrix{random(seed+1, tokens, s.h.Features())},
			dy:     random(seed+2, tokens, s.h.Features()),
			build:  func(g *Graph, x []*Tensor, _ []*Param) *Tensor { return g.Rope(x[0], s.h, s.theta) },
		}, func(in []matrix) []float64 { return ropeReference(in[0], s.seq, s.h, s.theta) }, 2e-5, i == 2})
	}
	return rows
}

// ropeReference rotates queries and keys and leaves the values.
func ropeReference(qkv matrix, seq int, h Heads, theta float64) []float64 {
	y := append([]float64(nil), qkv.v...)
	for t := range qkv.rows {
		for head := range h.Query + h.KV {
			row := y[t*qkv.cols+head*h.Dim:][:h.Dim]
			for i := range h.Dim / 2 {
				sin, cos := math.Sincos(float64(t%seq) * math.Pow(theta, -2*float64(i)/float64(h.Dim)))
				a, b := row[i], row[i+h.Dim/2]
				row[i], row[i+h.Dim/2] = a*cos-b*sin, b*cos+a*sin
			}
		}
	}
	return y
}

// lowRankRows add to columns of their first input, which is the result as well.
func lowRankRows() (list []trialRow) {
	for i, s := range []struct{ tokens, k, n, rank, at, of int }{
		{1, 1, 1, 1, 0, 1}, {3, 37, 5, 2, 3, 9}, {37, 12, 24, 4, 8, 40}, {20, 64, 48, 16, 0, 48}, {70, 300, 7, 3, 1, 9},
	} {
		seed := uint64(4000 + 100*i)
		const scale = 1.75
		for _, residual := range []bool{false, true} {
			list = append(list, trialRow{fmt.Sprintf("low rank %d of %dx%dx%d add=%v", s.rank, s.tokens, s.n, s.k, residual), trial{
				batch: 1, seq: s.tokens, residual: residual,
				inputs: []matrix{random(seed+1, s.tokens, s.k), random(seed+2, s.tokens, s.of)},
				params: []matrix{random(seed+3, s.rank, s.k), random(seed+4, s.n, s.rank)},
				dy:     random(seed+5, s.tokens, s.of),
				build: func(g *Graph, x []*Tensor, p []*Param) *Tensor {
					y := tensor("y", F32, s.tokens, s.of)
					g.copy(x[1], y)
					g.LowRank(y, x[0], p[0], p[1], s.at, scale)
					return y
				},
			}, func(in []matrix) []float64 {
				return lowRankReference(in[0], in[1], in[2], in[3], s.at, scale)
			}, 2e-5, i == 2 || i == 4})
		}
	}
	return list
}

// copy is an operation for tests: the result is x.
func (g *Graph) copy(x, y *Tensor) {
	k := rows.Columns{Target: g.params.Target, Rows: x.Rows, Width: x.Cols, Of: x.Cols, Factor: 1, Take: true}
	g.add("copy", func(e *emitter) { e.run(k.Source(), x, y) }, func(e *emitter) {
		if e.grads[x] == nil {
			e.passGrad(y, x)
			return
		}
		k.Take = false
		e.run(k.Source(), e.grad(y), e.grads[x])
	})
}

func lowRankReference(x, y0, a, b matrix, at int, scale float64) []float64 {
	y := append([]float64(nil), y0.v...)
	for t := range x.rows {
		for j := range a.rows {
			inner := 0.0
			for i := range a.cols {
				inner += a.v[j*a.cols+i] * x.v[t*x.cols+i]
			}
			for n := range b.rows {
				y[t*y0.cols+at+n] += scale * b.v[n*b.cols+j] * inner
			}
		}
	}
	return y
}

func headReference(x, table matrix, targets []uint32) []float64 {
	loss := make([]float64, x.rows)
	for t := range x.rows {
		if targets[t] == math.MaxUint32 {
			continue
		}
		logits := make([]float64, table.rows)
		sum := 0.0
		for v := range logits {
			for i := range x.cols {
				logits[v] += x.v[t*x.cols+i] * table.v[v*x.cols+i]
			}
			sum += math.Exp(logits[v])
		}
		loss[t] = math.Log(sum) - logits[targets[t]]
	}
	return loss
}

// headTrial is a head whose rows are cut into several blocks, one of them short,
// with targets of which every fifth does not count; with split the table lies in blocks,
// too. The second result is the gradient of each loss.
func headTrial(split bool) (trial, []float64) {
	const tokens = 150
	hidden, vocab, table := 12, 37, int64(0)
	if split {
		hidden, vocab, table = 80, 200, 32<<10
	}
	targets := make([]uint32, tokens)
	mean := make([]float64, tokens)
	for i := range targets {
		targets[i] = uint32(i*7) % uint32(vocab)
		if i%5 == 0 {
			targets[i] = math.MaxUint32
		}
		mean[i] = 1.0 / (tokens - tokens/5)
	}
	return trial{batch: 1, seq: tokens, inputs: []matrix{random(1, tokens, hidden)}, params: []matrix{random(2, vocab, hidden)}, targets: targets, binding: table,
		build: func(g *Graph, x []*Tensor, p []*Param) *Tensor {
			g.params.Limits.Binding = 4 * int64(p[0].stored()[0].Rows) * 100
			g.Loss(x[0], p[0])
			return nil
		}}, mean
}

func headChecks(target shaders.Target) []Check {
	return []Check{
		{"head and cross-entropy in blocks", func(dev *gpu.Device, v *verdict) error { return checkHead(dev, target, false, v) }},
		{"head and distillation in blocks", func(dev *gpu.Device, v *verdict) error { return checkDistilled(dev, target, v) }},
		{"float projections and gated activation", func(dev *gpu.Device, v *verdict) error { return checkBeside(dev, target, v, besideShapes...) }},
		{"head and cross-entropy of a table in blocks", func(dev *gpu.Device, v *verdict) error { return checkHead(dev, target, true, v) }},
	}
}

func checkHead(dev *gpu.Device, target shaders.Target, split bool, v *verdict) error {
	c, mean := headTrial(split)
	got, err := c.compute(dev, target)
	if err != nil {
		return err
	}
	v.ran(got.sources...)
	ref := func(in []matrix) []float64 { return headReference(in[0], in[1], c.targets) }
	in := []matrix{c.inputs[0], c.params[0]}
	want := ref(in)
	v.near("losses", want, got.y, 2e-5)
	sum := 0.0
	for i, loss := range want {
		sum += loss * mean[i]
	}
	v.near("loss", []float64{sum}, got.loss, 1e-5)
	v.differences("dx", ref, in, 0, mean, got.dx[0], 1e-4)
	v.differences("dtable", ref, in, 1, mean, got.dp[0], 1e-4)
	return nil
}
