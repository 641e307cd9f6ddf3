package shaders

import (
	"fmt"
	"math"
	"strings"
)

// Attention has the shapes of causal grouped-query attention.
type Attention struct {
	Target                              Target
	Batch, Seq, Heads, KVHeads, HeadDim int
	Memory                              int // bytes of workgroup memory, 0 for what WebGPU guarantees
}

type attentionParams struct {
	Attention
	Scale                float32
	Threads, Rows, Block int
	Pair                 int // heads that an invocation takes at once, of those that share their keys
}

func (k Attention) params() attentionParams {
	return attentionParams{Attention: k, Scale: float32(1 / math.Sqrt(float64(k.HeadDim))), Pair: 1}
}

// source lays out one of the three kernels, whose rows are queries or keys; live
// is how many vectors of a head an invocation holds for each of its rows where it
// works alone.
func (k Attention) source(file, label string, keys bool, live int, flops float64, tiles attentionTiles) Source {
	heads := k.Heads
	if keys {
		heads = k.KVHeads
	}
	p := k.params()
	var params any = &p
	rows := 0
	switch {
	case k.Target == GPU && tiles.Rows > 0:
		file += "_tiles"
		params, rows = tiles, tiles.Rows
	case k.Target == CPUTable && max(k.Seq, k.Batch*k.Heads) <= maxUniform:
		file += "_table"
		p.Threads, p.Rows, p.Block = 16, 1, 4
		// What is loaded once for all lanes serves two rows of each: queries of two heads that
		// share their keys, or two keys, where few of them are masked out together.
		switch {
		case keys && k.Seq >= 128:
			p.Rows = 2
		case !keys && k.Heads/k.KVHeads%2 == 0:
			p.Pair = 2
		}
		for p.Block > 1 && p.Block*p.Pair*p.Rows*live*k.HeadDim > 512 {
			p.Block /= 2
		}
	default:
		// More than some 200 live values an invocation take LLVM a minute to place.
		p.Threads, p.Rows, p.Block = 8, 4, 1
		for p.Rows > 1 && p.Rows*live*k.HeadDim > 256 {
			p.Rows /= 2
		}
		for p.Threads > 1 && p.Threads*p.Rows/2 >= k.Seq {
			p.Threads /= 2
		}
	}
	if rows == 0 {
		rows = p.Threads * p.Rows
	}
	groups := [3]uint32{uint32(ceilDiv(k.Seq, rows)), uint32(k.Batch * heads / p.Pair), 1}
	pairs := float64(k.Batch*k.Heads) * float64(k.Seq) * float64(k.Seq+1) / 2
	return source(file+".wgsl", fmt.Sprintf("%s %dx%dx%dx%d", label, k.Batch, k.Seq, k.Heads, k.HeadDim), groups, flops*pairs*float64(k.HeadDim), params)
}

// Source is the forward kernel. Bindings: qkv, o, lse.
func (k Attention) Source() Source {
	return k.source("attention", "attention", false, 2, 4, k.tiles(1, 1, 1, 32, 0))
}

// Delta is the first step of the gradient. Bindings: dout, o, delta.
func (k Attention) Delta() Source {
	n := k.Batch * k.Seq * k.Heads
	th, groups := k.Target.elementwise(n)
	return source("attention_delta.wgsl", fmt.Sprintf("attention delta %dx%d", n, k.HeadDim), groups, 2*float64(n*k.HeadDim), struct {
		threads1D
		N, HeadDim int
		Rolled     bool // the compiler does not know how often, and unrolls nothing
	}{th, n, k.HeadDim, k.Target != GPU})
}

// DQ is the gradient of the queries. Bindings: qkv, lse, dout, delta, dqkv.
func (k Attention) DQ() Source {
	return k.source("attention_dq", "attention dq", false, 3, 6, k.tiles(2, 2, 1, 0, 0))
}

// DKV is the gradient of keys and values. Bindings: qkv, lse, dout, delta, dqkv.
func (k Attention) DKV() Source {
	return k.source("attention_dkv", "attention dkv", true, 4, 8, k.tiles(2, 2, 2, 0, 8))
}

// attentionTiles lays out a kernel that keeps tiles of both sides of attention
// in workgroup memory. Lanes invocations share a row; each has PerRows rows,
// PerCols columns of a tile and PerWords vectors of a head.
type attentionTiles struct {
	attentionParams
	Words, Rows, Cols, Threads, Lanes int
	PerRows, PerCols, PerWords        int
	// Pairs and Triples are what a "tile scores" and a "tile sums" adds up.
	Pairs   []tilePair
	Triples []tileTriple
}

type tilePair struct{ Sums, Rows, Cols string }

type tileTriple struct{ Sums, Weights, Cols string }

// With names what is multiplied: sums, rows, columns, and again.
func (p attentionTiles) With(names ...string) attentionTiles {
	for i := 0; i < len(names); i += 3 {
		p.Pairs = append(p.Pairs, tilePair{names[i], names[i+1], names[i+2]})
	}
	return p
}

// Weighted names what is added up: sums, weights, columns, and again.
func (p attentionTiles) Weighted(names ...string) attentionTiles {
	for i := 0; i < len(names); i += 3 {
		p.Triples = append(p.Triples, tileTriple{names[i], names[i+1], names[i+2]})
	}
	return p
}

// stage is how tiles are filled with Count rows from First on.
type stage struct {
	Count, First string
	Tiles        []stagedTile
}

type stagedTile struct{ To, From string }

// Load is the vector that an invocation loads as number j of a round: in From, {t}
// is its row and {w} its word.
func (t stagedTile) Load(j int) string {
	return strings.NewReplacer("{t}", fmt.Sprintf("t_%d", j), "{w}", fmt.Sprintf("i_%d %% D4", j)).Replace(t.From)
}

// Stage fills tiles: the name of one, what it is loaded from, and again.
func (attentionTiles) Stage(count, first string, tiles ...string) stage {
	s := stage{Count: count, First: first}
	for i := 0; i < len(tiles); i += 2 {
		s.Tiles = append(s.Tiles, stagedTile{tiles[i], tiles[i+1]})
	}
	return s
}

// Scores is the type of a row's scores.
func (p attentionTiles) Scores() string {
	if p.PerCols == 1 {
		return "f32"
	}
	return fmt.Sprintf("vec%d<f32>", p.PerCols)
}

// Of is column j of a row's scores.
func (p attentionTiles) Of(scores string, j int) string {
	if p.PerCols == 1 {
		return scores
	}
	return scores + "." + "xyzw"[j:j+1]
}

// Score is column j of row i's scores.
func (p attentionTiles) Score(prefix string, i, j int) string {
	return p.Of(fmt.Sprintf("%s%d", prefix, i), j)
}

// Total adds up a row's scores.
func (p attentionTiles) Total(scores string) string {
	var list []string
	for j := range p.PerCols {
		list = append(list, p.Of(scores, j))
	}
	return strings.Join(list, " + ")
}

// Gather makes scores of one value for each column.
func (p attentionTiles) Gather(prefix, suffix string) string {
	var list []string
	for j := range p.PerCols {
		list = append(list, fmt.Sprintf("%s%d%s", prefix, j, suffix))
	}
	return p.Scores() + "(" + strings.Join(list, ", ") + ")"
}

// tileShapes are rows and columns for each lane, those that load least first.
var tileShapes = [][2]int{{32, 4}, {32, 2}, {16, 2}, {16, 1}, {8, 1}, {4, 1}}

// maxTileMemory leaves room for a second and third workgroup on a processor.
const maxTileMemory = 32 << 10

// tiles lays out a kernel with so many tiles of rows, of columns and of scores,
// and more bytes for each row of eight lanes and for each column. It has no rows where workgroup memory
// is too small for heads of this size.
func (k Attention) tiles(rowTiles, colTiles, scoreTiles, perRow, perCol int) attentionTiles {
	p := attentionTiles{attentionParams: k.params(), Words: k.HeadDim / 4, Lanes: 8, PerRows: 4}
	if p.Words > 2*p.Lanes {
		p.Lanes *= 2
	}
	p.PerWords = ceilDiv(p.Words, p.Lanes)
	memory := max(k.Memory, guaranteedMemory)
	for _, limit := range []int{min(memory, maxTileMemory), memory} {
		for _, s := range tileShapes {
			rows, cols := s[0], s[1]*p.Lanes
			bytes := 4*(k.HeadDim+4)*(rowTiles*rows+colTiles*cols) + scoreTiles*4*s[1]*rows*(p.Lanes+1) + perRow*p.Lanes/8*rows + perCol*cols
			if bytes <= limit {
				p.Rows, p.Cols, p.PerCols, p.Threads = rows, cols, s[1], rows/p.PerRows*p.Lanes
				return p
			}
		}
	}
	return p
}
