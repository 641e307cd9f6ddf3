package attention

import "bitnet/shaders"

// tiles lays out a kernel that keeps tiles of both sides of attention in
// workgroup memory (tiles.wgsl). Lanes invocations share a row; each has PerRows
// rows, PerCols columns of a tile and PerWords vectors of a head.
type tiles struct {
	params
	Words, Rows, Cols, Threads, Lanes int
	PerRows, PerCols, PerWords        int
}

// tileShapes are rows and columns for each lane, those that load least first.
var tileShapes = [][2]int{{32, 4}, {32, 2}, {16, 2}, {16, 1}, {8, 1}, {4, 1}}

// maxTileMemory leaves room for a second and third workgroup on a processor.
const maxTileMemory = 32 << 10

// tiles lays out a kernel with the given numbers of tiles of rows, of columns and
// of scores, and with extra bytes for each row of eight lanes and for each column.
// It has no rows where workgroup memory is too small for heads of this size.
func (k Causal) tiles(rowTiles, colTiles, scoreTiles, perRow, perCol int) tiles {
	p := tiles{params: k.params(), Words: k.HeadDim / 4, Lanes: 8, PerRows: 4}
	if p.Words > 2*p.Lanes {
		p.Lanes *= 2
	}
	p.PerWords = shaders.CeilDiv(p.Words, p.Lanes)
	memory := max(k.Memory, shaders.GuaranteedMemory)
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
