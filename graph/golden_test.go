package graph

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/modelfile/safetensors"
	"bitnet/gpu"
	"bitnet/shaders"
	"bitnet/shaders/matmul"
	"bitnet/shaders/quantize"
)

// goldens reads the cases of one file that testdata/golden.py made with PyTorch.
type goldens struct {
	t *testing.T
	f *safetensors.File
}

func openGoldens(t *testing.T, op string) goldens {
	f, err := safetensors.Open(filepath.Join("..", "testdata", "golden", op+".safetensors"))
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return goldens{t, f}
}

func (g goldens) has(name string) bool {
	_, ok := g.f.Info(name)
	return ok
}

func (g goldens) floats(name string) []float64 {
	v, err := g.f.Float64s(name)
	require.NoError(g.t, err)
	return v
}

func (g goldens) ints(name string) []int64 {
	v, err := g.f.Ints(name)
	require.NoError(g.t, err)
	return v
}

func (g goldens) ids(name string) []uint32 {
	var out []uint32
	for _, v := range g.ints(name) {
		out = append(out, uint32(v))
	}
	return out
}

// matrix folds all axes but the last into rows.
func (g goldens) matrix(name string) matrix {
	info, ok := g.f.Info(name)
	require.True(g.t, ok, name)
	cols := 1
	if n := len(info.Shape); n > 0 {
		cols = info.Shape[n-1]
	}
	return matrix{info.Elements() / cols, cols, g.floats(name)}
}

func (g goldens) shape(name string) []int {
	info, ok := g.f.Info(name)
	require.True(g.t, ok, name)
	return info.Shape
}

// each runs f for case0, case1, ... and wants at least three of them; where few is
// not nil, it runs only those.
func (g goldens) each(probe string, few []int, f func(t *testing.T, g goldens, prefix string)) {
	n := 0
	for ; g.has(fmt.Sprintf("case%d.%s", n, probe)); n++ {
		if few != nil && !slices.Contains(few, n) {
			continue
		}
		prefix := fmt.Sprintf("case%d.", n)
		g.t.Run(prefix, func(t *testing.T) { f(t, goldens{t, g.f}, prefix) })
	}
	require.GreaterOrEqual(g.t, n, 3, "cases with %s", probe)
}

// few are the cases for kernels of a foreign layout. Products have theirs in
// TestMatMul.
func few(dev *gpu.Device, target shaders.Target, cases ...int) []int {
	if !foreign(dev, target) {
		return nil
	}
	return cases
}

func TestGoldenEmbedding(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
		openGoldens(t, "embedding").each("ids", few(dev, target, 1, 3), func(t *testing.T, g goldens, c string) {
			ids := g.ids(c + "ids")
			got := trial{batch: 1, seq: len(ids), params: []matrix{g.matrix(c + "table")}, tokens: ids, dy: g.matrix(c + "dy"),
				build: func(g *Graph, _ []*Tensor, p []*Param) *Tensor {
					p[0].decay = true // a table of one row is a matrix all the same
					return g.Embedding(p[0])
				}}.run(t, dev, target)
			require.Equal(t, g.floats(c+"y"), got.y)
			near(t, "dtable", g.floats(c+"dtable"), got.dp[0], exact32)
		})
	})
}

func TestGoldenNorm(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
		openGoldens(t, "rmsnorm").each("x", few(dev, target, 1, 3), func(t *testing.T, g goldens, c string) {
			x, w := g.matrix(c+"x"), g.matrix(c+"w")
			got := trial{batch: 1, seq: x.rows, inputs: []matrix{x}, params: []matrix{{1, len(w.v), w.v}}, dy: g.matrix(c + "dy"),
				build: func(g *Graph, x []*Tensor, p []*Param) *Tensor { return g.RMSNorm(x[0], p[0], 1e-5) }}.run(t, dev, target)
			near(t, "y", g.floats(c+"y"), got.y, exact32)
			tolerance := exact32
			if x.cols == 1 {
				tolerance = 1e-3 // the gradient of one normalised element is what is left of two terms that cancel
			}
			near(t, "dx", g.floats(c+"dx"), got.dx[0], tolerance)
			near(t, "dw", g.floats(c+"dw"), got.dp[0], exact32)
		})
	})
}

func TestGoldenGatedNorm(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
		for file, act := range map[string]Activation{"silu_gated_norm": SiLU, "relu2_gated_norm": Relu2} {
			openGoldens(t, file).each("gate", few(dev, target, 1, 3), func(t *testing.T, g goldens, c string) {
				gu := beside(g.matrix(c+"gate"), g.matrix(c+"up"))
				w := matrix{1, gu.cols / 2, g.floats(c + "w")}
				got := trial{batch: 1, seq: gu.rows, inputs: []matrix{gu}, params: []matrix{w}, dy: g.matrix(c + "dy"),
					build: func(g *Graph, x []*Tensor, p []*Param) *Tensor {
						return g.norm("glu+norm", x[0], p[0], gated(x[0], act, 1e-5))
					}}.run(t, dev, target)
				near(t, "y", g.floats(c+"y"), got.y, exact32)
				tolerance := exact32
				if w.cols == 1 {
					tolerance = 1e-3 // as in TestGoldenNorm
				}
				near(t, "dgate|dup", beside(g.matrix(c+"dgate"), g.matrix(c+"dup")).v, got.dx[0], tolerance)
				near(t, "dw", g.floats(c+"dw"), got.dp[0], exact32)

				codes, scale := codesOnDevice(t, dev, target, gu.rows, w.cols, func(e *emitter, in []*Tensor, q, s *Tensor) {
					k := gated(in[0], act, 1e-5)
					k.Target, k.Tokens, k.Quantize = target, gu.rows, true
					e.run(k.Source(), in[0], in[1], in[2], q, s)
				}, gu, w, matrix{rows: gu.rows, cols: 1})
				require.Equal(t, g.ints(c+"q"), codes)
				requireScales(t, g.floats(c+"absmax"), scale)
			})
		}
	})
}

func TestGoldenRope(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
		openGoldens(t, "rope").each("x", few(dev, target, 2, 3), func(t *testing.T, g goldens, c string) {
			s := g.shape(c + "x") // batch, seq, heads, dim
			rows := func(name string) matrix { return matrix{s[0] * s[1], s[2] * s[3], g.floats(c + name)} }
			// The op rotates in place, so x doubles as y, and dy as dx.
			got := trial{batch: s[0], seq: s[1], inputs: []matrix{rows("x")}, dy: rows("dy"),
				build: func(g *Graph, x []*Tensor, _ []*Param) *Tensor {
					return g.Rope(x[0], Heads{Query: s[2], Dim: s[3]}, 10000)
				}}.run(t, dev, target)
			near(t, "y", g.floats(c+"y"), got.y, exact32)
			near(t, "dx", g.floats(c+"dx"), got.dx[0], exact32)
		})
	})
}

func TestGoldenAttention(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
		openGoldens(t, "attention").each("q", few(dev, target, 4, 6), func(t *testing.T, g goldens, c string) {
			q, k := g.shape(c+"q"), g.shape(c+"k")
			rows := func(name string) matrix {
				s := g.shape(c + name)
				return matrix{s[0] * s[1], s[2] * s[3], g.floats(c + name)}
			}
			got := trial{batch: q[0], seq: q[1], inputs: []matrix{beside(rows("q"), rows("k"), rows("v"))}, dy: rows("do"),
				build: func(g *Graph, x []*Tensor, _ []*Param) *Tensor {
					return g.Attention(x[0], Heads{Query: q[2], KV: k[2], Dim: q[3]})
				}}.run(t, dev, target)
			near(t, "o", g.floats(c+"o"), got.y, exact32)
			// Weights are computed again from scores of some tens, whose rounding is relative to the score.
			near(t, "dq|dk|dv", beside(rows("dq"), rows("dk"), rows("dv")).v, got.dx[0], 3*exact32)
		})
	})
}

func TestGoldenHead(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
		openGoldens(t, "head").each("f", few(dev, target, 2), func(t *testing.T, g goldens, c string) {
			f := g.matrix(c + "f")
			got := trial{batch: 1, seq: f.rows, inputs: []matrix{f}, params: []matrix{g.matrix(c + "e")}, targets: g.ids(c + "targets"),
				build: func(g *Graph, x []*Tensor, p []*Param) *Tensor {
					g.Loss(x[0], p[0])
					return nil
				}}.run(t, dev, target)
			near(t, "losses", g.floats(c+"losses"), got.y, exact32)
			near(t, "loss", g.floats(c+"loss"), got.loss, exact32)
			near(t, "df", g.floats(c+"df"), got.dx[0], exact32)
			near(t, "de", g.floats(c+"de"), got.dp[0], exact32)
		})
	})
}

func TestGoldenDistill(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
		openGoldens(t, "distill").each("f", few(dev, target, 2), func(t *testing.T, g goldens, c string) {
			f, teacher, table := g.matrix(c+"f"), g.matrix(c+"teacher"), g.matrix(c+"table")
			weight, temperature := g.floats(c + "weight")[0], g.floats(c + "temperature")[0]
			got := trial{batch: 1, seq: f.rows, inputs: []matrix{f}, params: []matrix{g.matrix(c + "e")}, targets: g.ids(c + "targets"), divergence: true,
				build: func(g *Graph, x []*Tensor, p []*Param) *Tensor {
					g.DistilledLoss(x[0], p[0], g.taught(teacher, table, weight, temperature))
					return nil
				}}.run(t, dev, target)
			near(t, "losses", g.floats(c+"losses"), got.y, exact32)
			near(t, "divergences", g.floats(c+"divergences"), got.apart, exact32)
			near(t, "loss", g.floats(c+"loss"), got.loss[:1], exact32)
			near(t, "divergence", g.floats(c+"divergence"), got.loss[1:], exact32)
			near(t, "df", g.floats(c+"df"), got.dx[0], exact32)
			near(t, "de", g.floats(c+"de"), got.dp[0], exact32)
		})
	})
}

func TestGoldenBitLinear(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
		openGoldens(t, "bitlinear").each("x", few(dev, target, 4), func(t *testing.T, g goldens, c string) {
			x, w := g.matrix(c+"x"), g.matrix(c+"w")
			var sizes []int
			for _, n := range g.ints(c + "sizes") {
				sizes = append(sizes, int(n))
			}
			for _, residual := range []bool{false, true} {
				if foreign(dev, target) && !residual {
					continue
				}
				inputs := []matrix{x}
				if residual {
					inputs = append(inputs, random(5, x.rows, w.rows))
				}
				got := trial{batch: 1, seq: x.rows, inputs: inputs, params: []matrix{w}, ternary: sizes, dy: g.matrix(c + "dy"),
					build: func(g *Graph, x []*Tensor, p []*Param) *Tensor {
						if !residual {
							return g.BitLinear(g.Quantize(x[0]), p[0], nil)
						}
						return g.BitLinear(g.Quantize(x[0]), p[0], x[1])
					}}.run(t, dev, target)
				y := g.floats(c + "y")
				if residual {
					for i := range y {
						y[i] += inputs[1].v[i]
					}
					require.Equal(t, g.floats(c+"dy"), got.dx[1])
				}
				near(t, "y", y, got.y, exact32)
				near(t, "dx", g.floats(c+"dx"), got.dx[0], exact32)
				near(t, "dw", g.floats(c+"dw"), got.dp[0], exact32)
			}
		})
	})
}

// The integers must be equal, not near: quantised activations, quantised
// weights, and their products.
func TestGoldenIntegers(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
		openGoldens(t, "quantize_activations").each("x", nil, func(t *testing.T, g goldens, c string) {
			codes, scale := quantizeOnDevice(t, dev, target, g.matrix(c+"x"))
			require.Equal(t, g.ints(c+"q"), codes)
			requireScales(t, g.floats(c+"absmax"), scale)
		})
		openGoldens(t, "quantize_weights").each("w", nil, func(t *testing.T, g goldens, c string) {
			w := g.matrix(c + "w")
			codes, scale := ternaryOnDevice(t, dev, target, w, []int{w.rows})
			require.Equal(t, g.ints(c+"q"), codes)
			require.InEpsilon(t, max(g.floats(c + "absmean")[0], 1e-5), scale[0], 1e-6)
		})
		openGoldens(t, "bitlinear").each("x", few(dev, target, 4), func(t *testing.T, g goldens, c string) {
			qx, qw := g.ints(c+"qx"), g.ints(c+"qw")
			shape, n := g.shape(c+"qx"), g.shape(c + "qw")[0]
			require.Equal(t, g.ints(c+"acc"), productOnDevice(t, dev, target, qx, qw, shape[0], n, shape[1]))
		})
	})
}

func requireScales(t *testing.T, absmax, scale []float64) {
	require.Len(t, scale, len(absmax))
	for i := range absmax {
		require.InEpsilon(t, max(absmax[i], 1e-5)/127, scale[i], 1e-6)
	}
}

// quantizeOnDevice returns the int8 codes of x and the scale of each row.
func quantizeOnDevice(t *testing.T, dev *gpu.Device, target shaders.Target, x matrix) ([]int64, []float64) {
	return codesOnDevice(t, dev, target, x.rows, x.cols, func(e *emitter, in []*Tensor, q, s *Tensor) {
		e.run(quantize.Rows{Target: target, Tokens: x.rows, Width: x.cols}.Source(), in[0], q, s)
	}, x)
}

// codesOnDevice runs a kernel over inputs, of which those without values are
// poisoned, and returns the codes that it writes and the scale of each row.
func codesOnDevice(t *testing.T, dev *gpu.Device, target shaders.Target, rows, cols int, emit func(e *emitter, in []*Tensor, q, s *Tensor), inputs ...matrix) ([]int64, []float64) {
	a := &arena{name: "test", limit: 1 << 26}
	q, s := tensor("q", Int8, rows, cols), tensor("s", F32, rows, 1)
	var in []*Tensor
	for _, m := range inputs {
		in = append(in, tensor("in", F32, m.rows, m.cols))
	}
	runCalls(t, dev, a, target, append([]*Tensor{q, s}, in...), func(e *emitter) { emit(e, in, q, s) }, func() {
		for i, m := range inputs {
			if m.v != nil {
				require.NoError(t, in[i].write(gpu.Bytes(m.f32())))
			}
		}
	})
	defer a.release()
	words, scale := make([]uint32, q.bytes()/4), make([]float32, rows)
	require.NoError(t, q.read(gpu.Bytes(words)))
	require.NoError(t, s.read(gpu.Bytes(scale)))
	var codes []int64
	for r := range rows {
		for i := range shaders.Words4(cols) * 4 {
			code := int64(int8(words[r*shaders.Words4(cols)+i/4] >> (8 * (i % 4))))
			if i < cols {
				codes = append(codes, code)
			} else {
				require.Zero(t, code, "padding of row %d", r)
			}
		}
	}
	return codes, widen(scale)
}

// ternaryOnDevice returns the ternary codes of w and the scale of each row.
func ternaryOnDevice(t *testing.T, dev *gpu.Device, target shaders.Target, w matrix, sizes []int) ([]int64, []float64) {
	ps := NewParams(target, LimitsOf(dev.Adapter()))
	var parts []Part
	for i, n := range sizes {
		parts = append(parts, Part{fmt.Sprint(i), n})
	}
	p := ps.Ternary(w.cols, parts...)
	require.NoError(t, ps.Layout(ForEvaluation))
	require.NoError(t, ps.Allocate(dev))
	defer ps.Release()
	require.NoError(t, p.Write(Master, w.f32()))
	require.NoError(t, ps.Quantize(dev))
	words, scale := make([]uint32, p.codes.bytes()/4), make([]float32, w.rows)
	require.NoError(t, p.codes.read(gpu.Bytes(words)))
	require.NoError(t, p.scale.read(gpu.Bytes(scale)))
	var codes []int64
	for r := range w.rows {
		for i := range shaders.Words16(w.cols) * 16 {
			code := int64(words[r*shaders.Words16(w.cols)+i/16]>>(2*(i%16))&3) - 1
			if i < w.cols {
				codes = append(codes, code)
			} else {
				require.Zero(t, code, "padding of row %d", r)
			}
		}
	}
	counter, err := ps.NewShareCounter(dev)
	require.NoError(t, err)
	defer counter.Release()
	first, err := counter.Count()
	require.NoError(t, err)
	shares, err := counter.Count()
	require.NoError(t, err)
	require.Equal(t, first, shares, "counting again")
	at := 0
	for i, n := range sizes {
		var count [3]float64
		for _, c := range codes[at*w.cols:][:n*w.cols] {
			count[c+1]++
		}
		total := float64(n * w.cols)
		require.Equal(t, Shares{fmt.Sprint(i), count[0] / total, count[1] / total, count[2] / total}, shares[i])
		at += n
	}
	return codes, widen(scale)
}

// productOnDevice multiplies int8 codes [tokens, k] with ternary [n, k].
func productOnDevice(t *testing.T, dev *gpu.Device, target shaders.Target, qx, qw []int64, tokens, n, k int) []int64 {
	a := &arena{name: "test", limit: 1 << 26}
	x, w, y := tensor("x", Int8, tokens, k), tensor("w", Ternary, n, k), tensor("y", F32, tokens, n)
	mm := matmul.Product{Target: target, M: tokens, N: n, K: k,
		A: matmul.Operand{Kind: matmul.Int8, AlongK: true}, B: matmul.Operand{Kind: matmul.Ternary, AlongK: true}}
	runCalls(t, dev, a, target, []*Tensor{x, w, y}, func(e *emitter) { e.run(mm.Source(), x, w, y) }, func() {
		xs, ws := make([]uint32, x.bytes()/4), make([]uint32, w.bytes()/4)
		for i := range ws {
			ws[i] = 0x55555555
		}
		for i, q := range qx {
			xs[i/k*shaders.Words4(k)+i%k/4] |= uint32(uint8(q)) << (8 * (i % k % 4))
		}
		for i, q := range qw {
			at, shift := i/k*shaders.Words16(k)+i%k/16, 2*(i%k%16)
			ws[at] = ws[at]&^(3<<shift) | uint32(q+1)<<shift
		}
		require.NoError(t, x.write(gpu.Bytes(xs)))
		require.NoError(t, w.write(gpu.Bytes(ws)))
	})
	defer a.release()
	got := make([]float32, tokens*n)
	require.NoError(t, y.read(gpu.Bytes(got)))
	out := make([]int64, len(got))
	for i, v := range got {
		out[i] = int64(v)
		require.Equal(t, float32(out[i]), v)
	}
	return out
}

func TestGoldenAdamW(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
		n := 0
		g := openGoldens(t, "adamw")
		for ; g.has(fmt.Sprintf("case%d.lr", n)); n++ {
			c := fmt.Sprintf("case%d.", n)
			ps := NewParams(target, LimitsOf(dev.Adapter()))
			w, v := g.matrix(c+"p0.init"), g.matrix(c+"p1.init")
			params := []*Param{ps.Matrix("p0", w.rows, w.cols), ps.Vector("p1", len(v.v))}
			require.NoError(t, ps.Layout(ForTraining))
			require.NoError(t, ps.Allocate(dev))
			require.NoError(t, params[0].Write(Master, w.f32()))
			require.NoError(t, params[1].Write(Master, v.f32()))
			e := newEmitter(ps, true)
			ps.emitUpdate(e, AdamW{0.9, 0.95, 1e-8})
			scratch, err := layOut(e)
			require.NoError(t, err)
			require.NoError(t, scratch.allocate(dev))
			program, err := assemble(dev, "update", e.calls)
			require.NoError(t, err)
			lr, wd := g.floats(c+"lr"), g.floats(c+"weight_decay")
			for s := range lr {
				at := fmt.Sprintf("%sstep%d.", c, s)
				for i, p := range params {
					require.NoError(t, p.Write(Grad, g.matrix(fmt.Sprintf("%sp%d.g", at, i)).f32()))
				}
				require.NoError(t, ps.SetStep(StepValues{Step: int64(s), LearningRate: lr[s], WeightDecay: wd[s], MaxNorm: 1, Beta1: 0.9, Beta2: 0.95}))
				require.NoError(t, program.Run())
				h, err := ps.History(int64(s), int64(s+1))
				require.NoError(t, err)
				near(t, at+"grad_norm", g.floats(at+"grad_norm"), []float64{float64(h[0].GradNorm)}, exact32)
				for i, p := range params {
					for name, slot := range map[string]Slot{"p": Master, "m": FirstMoment, "v": SecondMoment} {
						got := make([]float32, p.Rows*p.Cols)
						require.NoError(t, p.Read(slot, got))
						name := fmt.Sprintf("%sp%d.%s", at, i, name)
						near(t, name, g.floats(name), widen(got), exact32)
					}
					zero := make([]float32, p.Rows*p.Cols)
					require.NoError(t, p.Read(Grad, zero))
					require.Equal(t, make([]float32, len(zero)), zero, "the gradient must start again from zero")
				}
			}
			program.Release()
			scratch.release()
			ps.Release()
		}
		require.NotZero(t, n)
	})
}

// beside puts matrices of as many rows side by side.
func beside(ms ...matrix) matrix {
	out := matrix{rows: ms[0].rows}
	for _, m := range ms {
		out.cols += m.cols
	}
	for r := range out.rows {
		for _, m := range ms {
			out.v = append(out.v, m.v[r*m.cols:][:m.cols]...)
		}
	}
	return out
}

func TestSortPositions(t *testing.T) {
	order := make([]uint32, 6)
	require.NoError(t, sortPositions(order, []uint32{3, 1, 3, 0, 1, 3}, make([]uint32, 5)))
	require.Equal(t, []uint32{3, 1, 4, 0, 2, 5}, order)
	require.ErrorContains(t, sortPositions(order, []uint32{0, 9, 0, 0, 0, 0}, make([]uint32, 5)), "token 9 at position 1")
	require.ErrorContains(t, sortPositions(order, []uint32{0, math.MaxUint32, 0, 0, 0, 0}, make([]uint32, 5)), "position 1")
}
