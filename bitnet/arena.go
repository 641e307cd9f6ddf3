package bitnet

import (
	"fmt"
	"math/rand/v2"

	"bitnet/data"
	"bitnet/data/tokenizer"
	"bitnet/gpu"
)

// ArenaOptions say how many games of tic-tac-toe are played, and against whom.
type ArenaOptions struct {
	Games   int
	Against string // random: any legal move; perfect: any of the best moves
	As      string // X, O, or "" for one game as X, the next as O
	Seed    uint64
}

// ArenaResult counts how the model's games ended. It chooses by itself, its
// likeliest token: whatever is no legal move loses the game.
type ArenaResult struct {
	Games   int `json:"games"`
	Wins    int `json:"wins"`
	Draws   int `json:"draws"`
	Losses  int `json:"losses"`  // illegal choices included
	Moves   int `json:"moves"`   // that the model chose
	Illegal int `json:"illegal"` // of those
}

// LegalRate is the share of the model's choices that were legal.
func (a ArenaResult) LegalRate() float64 { return 1 - float64(a.Illegal)/float64(max(a.Moves, 1)) }

// arenaBatch is how many games are played at once.
const arenaBatch = 64

// Arena plays games of tic-tac-toe, as Player.Arena.
func (m *Model) Arena(dev *gpu.Device, tok *tokenizer.Tokenizer, o ArenaOptions, each func(game string, model byte, result string)) (ArenaResult, error) {
	p, err := m.NewPlayer(dev, tok, min(arenaBatch, max(o.Games, 1)))
	if err != nil {
		return ArenaResult{}, err
	}
	defer p.Release()
	return p.Arena(o, each)
}

// Arena plays games, as many at once as the player has room for; each is told
// how each of them went, if it is not nil.
func (p *Player) Arena(o ArenaOptions, each func(game string, model byte, result string)) (ArenaResult, error) {
	var r ArenaResult
	if o.Against != "random" && o.Against != "perfect" {
		return r, fmt.Errorf("no player %q: it must be random or perfect", o.Against)
	}
	if o.As != "" && o.As != "X" && o.As != "O" {
		return r, fmt.Errorf("no side %q: it must be X or O", o.As)
	}
	rng := rand.New(rand.NewPCG(o.Seed, 0x6172656e61))
	for first := 0; first < o.Games; first += p.games {
		n := min(p.games, o.Games-first)
		boards, sides := make([]data.Board, n), make([]byte, n)
		forfeit := make([]bool, n)
		for i := range sides {
			sides[i] = 'X'
			if o.As == "O" || o.As == "" && (first+i)%2 == 1 {
				sides[i] = 'O'
			}
		}
		p.Reset()
		for turn := byte('X'); ; turn ^= 'X' ^ 'O' {
			var mine []int
			playing := false
			for i := range boards {
				b := &boards[i]
				if forfeit[i] || b.Over() {
					continue
				}
				playing = true
				if sides[i] == turn {
					mine = append(mine, i)
					continue
				}
				moves := b.Legal()
				if o.Against == "perfect" {
					moves = data.PerfectMoves(*b)
				}
				if err := b.Play(moves[rng.IntN(len(moves))]); err != nil {
					return r, err
				}
			}
			if !playing {
				break
			}
			cells, err := p.Choose(boards, mine)
			if err != nil {
				return r, err
			}
			for j, i := range mine {
				r.Moves++
				if boards[i].Play(cells[j]) != nil {
					r.Illegal++
					forfeit[i] = true
				}
			}
		}
		for i := range boards {
			r.Games++
			result := "draw"
			switch w := boards[i].Winner(); {
			case forfeit[i]:
				r.Losses++
				result = "illegal move"
			case w == 0:
				r.Draws++
			case w == sides[i]:
				r.Wins++
				result = "won"
			default:
				r.Losses++
				result = "lost"
			}
			if each != nil {
				each(boards[i].Text(), sides[i], result)
			}
		}
	}
	return r, nil
}

// Player lets a model choose moves of tic-tac-toe in several games at once.
type Player struct {
	gen   *Generator
	tok   *tokenizer.Tokenizer
	bos   uint32
	cells map[uint32]int
	games int // at once
}

// NewPlayer makes room for n games.
func (m *Model) NewPlayer(dev *gpu.Device, tok *tokenizer.Tokenizer, n int) (*Player, error) {
	p := &Player{tok: tok, cells: map[uint32]int{}, games: n}
	for cell := 1; cell <= 9; cell++ {
		id, ok := tok.ID(string(rune('0' + cell)))
		if !ok {
			return nil, fmt.Errorf("this model has no token for cell %d: it was not trained on tic-tac-toe (bitnet train --exp tictactoe)", cell)
		}
		p.cells[id] = cell
	}
	var ok bool
	if p.bos, ok = tok.BOS(); !ok {
		return nil, fmt.Errorf("this model has no token that begins a game: it was not trained on tic-tac-toe (bitnet train --exp tictactoe)")
	}
	if m.Config.MaxPositions < 10 {
		return nil, fmt.Errorf("this model's context of %d tokens is too short for a game", m.Config.MaxPositions)
	}
	var err error
	p.gen, err = m.NewGenerator(dev, n, 10) // <s> and nine moves
	return p, err
}

// Reset begins new games.
func (p *Player) Reset() {
	for i := range p.games {
		p.gen.Truncate(i, 0)
	}
}

// Release frees the player's buffers.
func (p *Player) Release() { p.gen.Release() }

// Choose gives the model's move in some of the games, by their numbers; 0
// where its likeliest token is no cell at all. Games only grow between two
// calls, until Reset.
func (p *Player) Choose(games []data.Board, which []int) ([]int, error) {
	if len(which) == 0 {
		return nil, nil
	}
	feed := make([][]uint32, len(games))
	for _, i := range which {
		known := p.gen.Len(i) // <s> and moves
		if known == 0 {
			feed[i], known = append(feed[i], p.bos), 1
		}
		for _, c := range games[i].Text()[known-1:] {
			id, _ := p.tok.ID(string(c))
			feed[i] = append(feed[i], id)
		}
	}
	logits, err := p.gen.Feed(feed)
	if err != nil {
		return nil, err
	}
	out := make([]int, len(which))
	for j, i := range which {
		out[j] = p.cells[Greedy(i, logits[i])]
	}
	return out, nil
}
