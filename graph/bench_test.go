package graph

import (
	"fmt"
	"sort"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/gpu/gputest"
)

// benchShape is a small decoder.
type benchShape struct {
	layers, hidden, ffn, vocab, batch, seq int
	heads                                  Heads
}

// benchModel declares a decoder whose training step has all operations.
func benchModel(ps *Params, s benchShape) *Graph {
	table := ps.Matrix("embedding", s.vocab, s.hidden)
	type layer struct{ norm1, qkv, out, norm2, up, norm3, down *Param }
	var layers []layer
	for range s.layers {
		layers = append(layers, layer{
			ps.Vector("norm", s.hidden),
			ps.Ternary(s.hidden, Part{"q", s.heads.Query * s.heads.Dim}, Part{"k", s.heads.KV * s.heads.Dim}, Part{"v", s.heads.KV * s.heads.Dim}),
			ps.Ternary(s.heads.Query*s.heads.Dim, Part{"o", s.hidden}),
			ps.Vector("norm", s.hidden),
			ps.Ternary(s.hidden, Part{"gate", s.ffn}, Part{"up", s.ffn}),
			ps.Vector("norm", s.ffn),
			ps.Ternary(s.ffn, Part{"down", s.hidden}),
		})
	}
	last := ps.Vector("norm", s.hidden)
	g := New(ps, s.batch, s.seq)
	x := g.Embedding(table)
	for _, l := range layers {
		qkv := g.BitLinear(g.NormQuantize(x, l.norm1, 1e-5), l.qkv, nil)
		o := g.Attention(g.Rope(qkv, s.heads, 10000), s.heads)
		x = g.BitLinear(g.Quantize(o), l.out, x)
		gu := g.BitLinear(g.NormQuantize(x, l.norm2, 1e-5), l.up, nil)
		x = g.BitLinear(g.GLUNormQuantize(gu, SiLU, l.norm3, 1e-5), l.down, x)
	}
	g.Loss(g.RMSNorm(x, last, 1e-5), table)
	return g
}

// BenchmarkStep times a whole training step and logs its largest kernels, and
// how long the first step took, which compiles the kernels.
func BenchmarkStep(b *testing.B) {
	all, err := gputest.Devices()
	require.NoError(b, err)
	for _, dev := range all {
		b.Run(dev.Adapter().Name, func(b *testing.B) {
			ps := NewParams(TargetOf(dev.Adapter()), LimitsOf(dev.Adapter()))
			s := benchShape{layers: 4, hidden: 256, ffn: 768, vocab: 64, batch: 64, seq: 64, heads: Heads{4, 2, 64}}
			g := benchModel(ps, s)
			require.NoError(b, ps.Layout(ForTraining))
			require.NoError(b, ps.Allocate(dev))
			defer ps.Release()
			for i, p := range ps.All() {
				require.NoError(b, p.Write(Master, random(uint64(i), p.Rows, p.Cols).f32()))
			}
			require.NoError(b, ps.Quantize(dev))
			plan, err := g.PlanTraining(AdamW{0.9, 0.95, 1e-8})
			require.NoError(b, err)
			began := time.Now()
			p, err := plan.Compile(dev)
			require.NoError(b, err)
			defer p.Release()
			tokens, targets := make([]uint32, g.Tokens()), make([]uint32, g.Tokens())
			for i := range tokens {
				tokens[i], targets[i] = uint32(i*7)%uint32(s.vocab), uint32(i*11)%uint32(s.vocab)
			}
			step := func() {
				require.NoError(b, p.Load(tokens, targets, s.vocab))
				require.NoError(b, ps.SetStep(StepValues{LossTokens: g.Tokens(), Beta1: 0.9, Beta2: 0.95, MaxNorm: 1}))
				require.NoError(b, p.Step())
			}
			step()
			require.NoError(b, dev.Wait())
			first := time.Since(began)
			for b.Loop() {
				step()
				require.NoError(b, dev.Wait())
			}
			b.StopTimer()
			perStep := b.Elapsed().Seconds() / float64(b.N)
			b.ReportMetric(float64(g.Tokens())/perStep, "tokens/s")
			b.ReportMetric(plan.FlopsPerToken()*float64(g.Tokens())/perStep/1e9, "GFLOP/s")
			b.ReportMetric(first.Seconds(), "s-first-step")
			if testing.Verbose() && dev.Adapter().Has(gpu.TimestampQuery) {
				b.Log(benchProfile(b, p))
			}
		})
	}
}

// benchProfile lists a step's kernels, the costliest first, with equal ones added up.
func benchProfile(b *testing.B, p *Program) string {
	times, err := p.Profile()
	require.NoError(b, err)
	sum := map[string]*Timing{}
	total := time.Duration(0)
	for _, t := range times {
		s := sum[t.Kernel]
		if s == nil {
			s = &Timing{Kernel: t.Kernel}
			sum[t.Kernel] = s
		}
		s.Time += t.Time
		s.Flops += t.Flops
		total += t.Time
	}
	var list []*Timing
	for _, s := range sum {
		list = append(list, s)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Time > list[j].Time })
	out := fmt.Sprintf("%v in all\n", total)
	for _, s := range list {
		out += fmt.Sprintf("%10v %5.1f %% %8.1f GFLOP/s  %s\n", s.Time, 100*s.Time.Seconds()/total.Seconds(), s.Flops/s.Time.Seconds()/1e9, s.Kernel)
	}
	return out
}

// BenchmarkUpdate times the optimizer's update and the quantisation of the
// weights after it, kernel by kernel.
func BenchmarkUpdate(b *testing.B) {
	all, err := gputest.Devices()
	require.NoError(b, err)
	for _, dev := range all {
		ps := NewParams(TargetOf(dev.Adapter()), LimitsOf(dev.Adapter()))
		benchModel(ps, benchShape{layers: 6, hidden: 384, ffn: 1152, vocab: 2048, batch: 1, seq: 1, heads: Heads{8, 4, 48}})
		require.NoError(b, ps.Layout(ForTraining))
		require.NoError(b, ps.Allocate(dev))
		for i, p := range ps.All() {
			require.NoError(b, p.Write(Master, random(uint64(i), p.Rows, p.Cols).f32()))
		}
		e := newEmitter(ps, true)
		ps.emitUpdate(e, AdamW{0.9, 0.95, 1e-8})
		ps.emitQuantize(e)
		scratch, err := layOut(e)
		require.NoError(b, err)
		require.NoError(b, scratch.allocate(dev))
		for _, c := range e.calls {
			program, err := assemble(dev, c.src.Label, []call{c})
			require.NoError(b, err)
			b.Run(fmt.Sprintf("%s/%s", dev.Adapter().Name, c.src.Label), func(b *testing.B) {
				require.NoError(b, program.Run()) // drivers compile at the first run
				require.NoError(b, dev.Wait())
				b.SetBytes(c.bytes())
				for b.Loop() {
					require.NoError(b, program.Run())
					require.NoError(b, dev.Wait())
				}
			})
			program.Release()
		}
		scratch.release()
		ps.Release()
	}
}
