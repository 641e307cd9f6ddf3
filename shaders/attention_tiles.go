package shaders

import (
	"fmt"
	"strings"
)

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

// tileShapes are rows and columns of tiles, the ones that load least first.
var tileShapes = [][2]int{{32, 32}, {32, 16}, {16, 16}, {16, 8}, {8, 8}, {4, 8}}

// maxTileMemory leaves room for a second and third workgroup on a processor.
const maxTileMemory = 32 << 10

// tiles lays out a kernel with so many tiles of rows, of columns and of scores,
// and more bytes for each row and column.
func (k Attention) tiles(rowTiles, colTiles, scoreTiles, perRow, perCol int) attentionTiles {
	const lanes, perRows = 8, 4
	p := attentionTiles{attentionParams: k.params(), Words: k.HeadDim / 4, Lanes: lanes, PerRows: perRows}
	memory := min(max(k.Memory, guaranteedMemory), maxTileMemory)
	pitch := 4 * (k.HeadDim + 4)
	for _, s := range tileShapes {
		p.Rows, p.Cols = s[0], s[1]
		bytes := pitch*(rowTiles*p.Rows+colTiles*p.Cols) + scoreTiles*4*p.Rows*(lanes+1)*(p.Cols/lanes) + perRow*p.Rows + perCol*p.Cols
		if bytes <= memory {
			break
		}
	}
	p.Threads = p.Rows / perRows * lanes
	p.PerCols = p.Cols / lanes
	p.PerWords = ceilDiv(p.Words, lanes)
	return p
}
