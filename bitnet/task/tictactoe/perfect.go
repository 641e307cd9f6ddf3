package tictactoe

import (
	"cmp"
	"math/bits"
	"slices"
	"sync"
)

// solution is the perfect player: its move in each position that a game can
// come to before it is over.
type solution map[position]reply

type reply struct {
	cell  int
	value int // for the side to move: see solve
}

// preference orders moves of equal worth: the middle, corners, edges.
var preference = [cells]int{5, 1, 3, 7, 9, 2, 4, 6, 8}

var solved = sync.OnceValue(func() solution {
	s := solution{}
	s.solve(position{})
	return s
})

// solve is minimax: the value of p for the side to move is positive if it can
// force a win, negative if it cannot prevent a loss. Its size is 10 less the
// moves until then: an early win is better, and so is a late loss.
func (s solution) solve(p position) int {
	if hasLine(p.x) || hasLine(p.o) {
		return -10 // the other side has just won
	}
	if p.free() == 0 {
		return 0
	}
	if known, ok := s[p]; ok {
		return known.value
	}
	best := reply{value: -100}
	for _, cell := range preference {
		if p.free()&(1<<(cell-1)) == 0 {
			continue
		}
		v := -s.solve(p.play(cell))
		v -= cmp.Compare(v, 0) // one move farther away
		if v > best.value {
			best = reply{cell, v}
		}
	}
	s[p] = best
	return best.value
}

// positions lists all that are not over, always in the same order.
func (s solution) positions() []position {
	out := make([]position, 0, len(s))
	for p := range s {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b position) int {
		return cmp.Or(cmp.Compare(bits.OnesCount16(a.x|a.o), bits.OnesCount16(b.x|b.o)), cmp.Compare(a.x, b.x), cmp.Compare(a.o, b.o))
	})
	return out
}

// PerfectMoves are all moves with which a player wins where it can and never
// loses a game that it need not lose, in ascending order.
func PerfectMoves(b Board) []int {
	s := solved()
	var out []int
	for _, cell := range b.Legal() {
		v := -s.solve(b.position.play(cell))
		if v-cmp.Compare(v, 0) == s[b.position].value {
			out = append(out, cell)
		}
	}
	return out
}
