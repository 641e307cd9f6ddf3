package tictactoe

import (
	"fmt"
	"math/bits"
	"math/rand/v2"

	"bitnet/data"
	"bitnet/data/rows"
	"bitnet/data/tokenizer"
)

// Options says how games become rows.
type Options struct {
	Seq  int    // positions in a row
	Seed uint64 // decides the games and their order
	Pack bool   // fill each row with as many whole games as fit
	Once bool   // end after one epoch
}

// Source gives games as text, "<s>512837469</s>": the cells in the
// order of the moves, one token per move. Loss lies on the moves that are those of
// a perfect player, whichever side makes them, and on the end of the game: a model
// that learns them answers any game so far with the perfect move.
//
// An epoch holds, in an order of its own,
//   - every game that a perfect player can come into, as X and as O, whatever
//     the other side does;
//   - for every position that is not over, perfect players' or not, one game
//     through it: up to there the moves in a random order, from there the side
//     to move perfect and the other random, all drawn again in each epoch.
type Source struct {
	*rows.Source
	tokenizer *tokenizer.Tokenizer
	ids       [cells + 1]uint32 // of the cells 1 to 9
	bos, eos  uint32
	seed      uint64
	solved    solution
	games     [][]int8   // that a perfect player can come into
	positions []position // that are not over

	inputs, targets [cells + 2]uint32 // of the sample that was last made
}

// NewSource solves the game. It fails if a row is too short for nine moves.
func NewSource(o Options) (*Source, error) {
	tok, err := tokens()
	if err != nil {
		return nil, fmt.Errorf("tic-tac-toe: %w", err)
	}
	t := &Source{tokenizer: tok, seed: o.Seed, solved: solved()}
	t.bos, _ = tok.BOS()
	t.eos, _ = tok.EOS()
	pad, _ := tok.Pad()
	for cell := 1; cell <= cells; cell++ {
		t.ids[cell], _ = tok.ID(string(rune('0' + cell)))
	}
	t.positions = t.solved.positions()
	t.enumerate(position{}, nil, true)
	t.enumerate(position{}, nil, false)
	options := rows.Options{Seq: o.Seq, Pad: pad, Pack: o.Pack, Shuffle: true, Once: o.Once, Seed: o.Seed}
	n := int64(len(t.games) + len(t.positions))
	if t.Source, err = rows.New("tic-tac-toe", t.sample, n, len(t.inputs), options); err != nil {
		return nil, err
	}
	return t, nil
}

// enumerate collects the ends of all games from p on in which one side is
// perfect and the other does anything.
func (t *Source) enumerate(p position, moves []int8, xPerfect bool) {
	if p.over() {
		t.games = append(t.games, append([]int8(nil), moves...))
		return
	}
	for free := p.free(); free != 0; free &= free - 1 {
		cell := bits.TrailingZeros16(free) + 1
		if p.xToMove() != xPerfect || cell == t.solved[p].cell {
			t.enumerate(p.play(cell), append(moves, int8(cell)), xPerfect)
		}
	}
}

// sample is the rows.Sampler of an epoch.
func (t *Source) sample(epoch, i int64) (inputs, targets []uint32) {
	var moves [cells]int8
	var n int
	if i < int64(len(t.games)) {
		n = copy(moves[:], t.games[i])
	} else {
		n = t.through(&moves, t.positions[i-int64(len(t.games))], rand.NewPCG(t.seed, uint64(epoch)<<16|uint64(i)))
	}
	return t.encode(moves[:n])
}

// through makes a game that comes through the position and returns its length.
func (t *Source) through(moves *[cells]int8, through position, random *rand.PCG) int {
	var p position
	n := 0
	play := func(cell int) {
		moves[n] = int8(cell)
		p = p.play(cell)
		n++
	}
	// Any order of the moves will do: where nobody has a line at the end,
	// nobody had one before.
	for p != through {
		if p.xToMove() {
			play(draw(through.x&^p.x, random))
		} else {
			play(draw(through.o&^p.o, random))
		}
	}
	for perfect := p.xToMove(); !p.over(); {
		if p.xToMove() == perfect {
			play(t.solved[p].cell)
		} else {
			play(draw(p.free(), random))
		}
	}
	return n
}

// draw gives one of the cells of a set that is not empty.
func draw(set uint16, random *rand.PCG) int {
	for skip := random.Uint64() % uint64(bits.OnesCount16(set)); skip > 0; skip-- {
		set &= set - 1
	}
	return bits.TrailingZeros16(set) + 1
}

// encode gives the ids of a whole game and of what carries loss.
func (t *Source) encode(moves []int8) (inputs, targets []uint32) {
	var p position
	t.inputs[0] = t.bos
	for i, cell := range moves {
		t.inputs[i+1] = t.ids[cell]
		t.targets[i] = data.Ignore
		if t.solved[p].cell == int(cell) {
			t.targets[i] = t.ids[cell]
		}
		p = p.play(int(cell))
	}
	n := len(moves)
	t.inputs[n+1], t.targets[n] = t.eos, t.eos
	t.targets[n+1] = data.Ignore
	return t.inputs[:n+2], t.targets[:n+2]
}

// Tokenizer is the tokenizer of the games.
func (t *Source) Tokenizer() *tokenizer.Tokenizer { return t.tokenizer }
