package matmul

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"bitnet/shaders"
)

// tiling cuts a product up: M x N of the result a workgroup, in slices of K of
// the summed dimension, and RegM x RegN of it an invocation.
type tiling struct{ M, N, K, RegM, RegN int }

func (t tiling) String() string {
	return fmt.Sprintf("tiles %dx%dx%d, %dx%d sums", t.M, t.N, t.K, t.RegM, t.RegN)
}

func (t tiling) memory() int { return 4 * (t.M + t.N) * t.K }

// wasteful says that half of the tiles of a side, or more, would lie outside of it.
func wasteful(tile, side int) bool { return tile > 32 && tile >= 2*side }

// enough says whether a product keeps a large GPU busy in tiles of 128 x 128.
func (k Product) enough() bool {
	return k.Count()*shaders.CeilDiv(k.M, 128)*shaders.CeilDiv(k.N, 128) >= 96
}

var gpuTilings = []tiling{
	{64, 64, 16, 4, 8},
	{128, 128, 16, 8, 8},
	{128, 128, 8, 8, 8},
	{128, 64, 16, 8, 8},
	{64, 128, 16, 8, 8},
	{128, 64, 16, 8, 4},
	{64, 128, 16, 4, 8},
	{64, 64, 16, 8, 8},
	{64, 64, 16, 4, 4},
	{64, 64, 32, 4, 8},
	{64, 64, 8, 4, 8},
	{32, 128, 16, 4, 8},
	{128, 32, 16, 8, 4},
	{32, 64, 16, 4, 4},
	{64, 32, 16, 4, 4},
	{32, 32, 32, 4, 4},
	{128, 128, 32, 8, 8},
}

var cpuTilings = []tiling{
	{32, 32, 4, 8, 8},
	{16, 32, 4, 4, 8},
	{32, 16, 4, 8, 4},
	{16, 16, 4, 4, 4},
}

// tilings are those that suit the target and the shapes, the default first.
func (k Product) tilings(memory int) []tiling {
	list, first := gpuTilings, gpuTilings[0]
	switch {
	case k.Target != shaders.GPU && (k.M%4 != 0 || k.N%4 != 0 || k.K%4 != 0):
		// Each load of an odd row is four, and each takes its time to compile.
		return cpuTilings[3:]
	case k.Target != shaders.GPU:
		list, first = cpuTilings, cpuTilings[0]
	case k.enough():
		first = gpuTilings[1]
	}
	out := []tiling{first}
	for _, t := range list {
		groups := max(shaders.CeilDiv(k.M, t.M), shaders.CeilDiv(k.N, t.N))
		if t != first && t.memory() <= max(memory, shaders.GuaranteedMemory) && groups <= shaders.MaxGroups && !wasteful(t.M, k.M) && !wasteful(t.N, k.N) {
			out = append(out, t)
		}
	}
	return out
}

// tableLayouts are rows of sums and lanes.
var tableLayouts = [][2]int{{64, 16}, {32, 16}, {16, 16}, {8, 16}, {16, 32}, {16, 8}, {8, 32}, {8, 8}}

// squares cuts a product up for matrix units: a workgroup of subM x subN
// subgroups, each with m x n of the result, in slices of k.
type squares struct{ subM, subN, m, n, k int }

func (s squares) String() string {
	return fmt.Sprintf("%dx%d of %dx%d, slices of %d", s.subM, s.subN, s.m, s.n, s.k)
}

var matrixSquares = []squares{ // k in the usual slices
	{2, 2, 64, 64, 1},
	{2, 2, 32, 32, 1},
	{1, 2, 64, 64, 1},
	{2, 1, 64, 64, 1},
	{2, 2, 64, 32, 1},
	{2, 2, 32, 64, 1},
	{4, 2, 32, 32, 1},
	{2, 4, 32, 32, 1},
	{4, 2, 64, 32, 1},
	{2, 4, 32, 64, 1},
	{1, 2, 32, 32, 1},
	{2, 1, 32, 32, 1},
	{1, 1, 32, 32, 1},
	{2, 2, 64, 64, 2},
	{2, 2, 32, 32, 2},
}

// squares are those that suit the shapes, the default first. A subgroup has
// 64 x 64 of the result where there is work for every processor.
func (k Product) squares(integer bool) []squares {
	slice := 32
	if integer {
		slice = 64
	}
	var out []squares
	add := func(s squares) {
		s.k *= slice
		out = append(out, s)
	}
	if k.enough() {
		add(matrixSquares[0])
	}
	add(matrixSquares[1])
	for i, s := range matrixSquares {
		if i == 1 || i == 0 && k.enough() || wasteful(s.subM*s.m, k.M) || wasteful(s.subN*s.n, k.N) {
			continue
		}
		add(s)
	}
	return out
}

// Version changes with what decides how fast a variant is, or which there are.
func Version() string {
	h := sha256.New()
	h.Write(family.Text())
	fmt.Fprint(h, gpuTilings, cpuTilings, tableLayouts, matrixSquares)
	return hex.EncodeToString(h.Sum(nil)[:8])
}
