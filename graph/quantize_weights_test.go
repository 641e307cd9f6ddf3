package graph

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/shaders"
)

// All ternary parameters are quantised by the same few kernels: none may read or
// write what belongs to another, wherever they lie.
func TestQuantizeWeights(t *testing.T) {
	type group struct {
		k    int
		rows []int
	}
	whole := []group{{16, []int{1}}, {48, []int{3, 5, 2}}, {384, []int{50, 7}}, {8208, []int{2}}, {64, []int{64, 32, 32}}}
	odd := []group{{1, []int{1, 3}}, {37, []int{3, 400}}, {48, []int{5}}, {3, []int{37}}, {9001, []int{1, 2}}, {20, []int{7, 1}}}
	for _, c := range []struct {
		name            string
		groups          []group
		binding, buffer int64
		runs            int
	}{
		{"at once", whole, 1 << 27, 1 << 27, 1},
		{"odd rows", odd, 1 << 27, 1 << 27, 1},
		{"small bindings", whole, 90 << 10, 1 << 27, 3},
		{"odd rows in small buffers", odd, 1 << 27, 110 << 10, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
				if c.runs > 1 && foreign(dev, target) {
					t.Skip("the cuts are the same for every layout")
				}
				ps := NewParams(target, Limits{Binding: c.binding, Buffer: c.buffer})
				for i, g := range c.groups {
					ps.Vector("norm", 5)
					var parts []Part
					for j, rows := range g.rows {
						parts = append(parts, Part{fmt.Sprintf("w%d.%d", i, j), rows})
					}
					ps.Ternary(g.k, parts...)
					ps.Matrix("matrix", 3, 7)
				}
				require.NoError(t, ps.Layout(ForEvaluation))
				require.Len(t, ps.runs, c.runs)
				require.NoError(t, ps.Allocate(dev))
				defer ps.Release()
				e := newEmitter(ps, false)
				ps.emitQuantize(e)
				require.Len(t, e.calls, 3*c.runs)
				scratch, err := layOut(e)
				require.NoError(t, err)
				require.NoError(t, scratch.allocate(dev))
				defer scratch.release()
				program, err := assemble(dev, "quantize", e.calls)
				require.NoError(t, err)
				defer program.Release()

				masters := map[*Param]matrix{}
				for i, p := range ps.All() {
					m := random(uint64(i), p.Rows, p.Cols)
					if i == 1 {
						clear(m.v) // the scale of zeros is the least there is
					}
					masters[p] = m
					require.NoError(t, p.Write(Master, m.f32()))
				}
				var before [][]uint32
				for range 2 {
					fillPoison(t, ps.codes, ps.scales, scratch)
					require.NoError(t, program.Run())
					words := append(readWords(t, ps.codes), readWords(t, ps.scales)...)
					if before != nil {
						require.Equal(t, before, words, "quantising again")
					}
					before = words
				}
				codes, scales := before[:len(ps.codes.sizes)], before[len(ps.codes.sizes):]
				for _, p := range ps.All() {
					if p.ternary {
						checkTernary(t, p, masters[p], take(codes, p.codes), take(scales, p.scale))
					}
				}
				for _, slab := range before {
					for i, word := range slab {
						require.EqualValues(t, poison, word, "word %d belongs to nothing", i)
					}
				}
			})
		})
	}
}

// checkTernary compares codes and scales of a parameter with its weights in float64.
func checkTernary(t *testing.T, p *Param, w matrix, codes, scales []uint32) {
	t.Helper()
	row, words := 0, shaders.Words16(p.Cols)
	for _, part := range p.Parts {
		mean := 0.0
		for _, v := range w.v[row*w.cols:][:part.Rows*w.cols] {
			mean += math.Abs(v) / float64(part.Rows*w.cols)
		}
		scale := math.Float32frombits(scales[row])
		require.InEpsilon(t, max(mean, 1e-5), scale, 2e-6, part.Name)
		for range part.Rows {
			require.Equal(t, scales[row], math.Float32bits(scale), "%s, row %d", part.Name, row)
			for k := range 16 * words {
				code := float64(codes[row*words+k/16]>>(2*(k%16))&3) - 1
				want := 0.0
				if k < p.Cols {
					x := w.v[row*w.cols+k] / float64(scale)
					want = min(max(math.RoundToEven(x), -1), 1)
					if math.Abs(math.Abs(x)-0.5) < 1e-6 {
						continue // a division in float32 may fall on either side
					}
				}
				require.Equal(t, want, code, "%s[%d, %d]", part.Name, row, k)
			}
			row++
		}
	}
}

// take gets what a tensor holds and poisons it.
func take(slabs [][]uint32, x *Tensor) []uint32 {
	at := slabs[x.slab][x.offset/4:][:x.bytes()/4]
	out := append([]uint32(nil), at...)
	for i := range at {
		at[i] = poison
	}
	return out
}

// readWords reads all slabs of an arena.
func readWords(t *testing.T, a *arena) [][]uint32 {
	t.Helper()
	var out [][]uint32
	for i, n := range a.sizes {
		words := make([]uint32, n/4)
		require.NoError(t, a.slabs[i].Read(0, gpu.Bytes(words)))
		out = append(out, words)
	}
	return out
}
