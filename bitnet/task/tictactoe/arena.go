package tictactoe

import (
	"context"
	"fmt"
	"math/rand/v2"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/runs"
	"bitnet/bitnet/task"
)

// Programs that play against a model.
const (
	random  = "random"  // any legal move
	perfect = "perfect" // any of the best moves
)

// opponentMove chooses a move for a program; the board must not be over.
func opponentMove(b Board, opponent string, rng *rand.Rand) int {
	moves := b.Legal()
	if opponent == perfect {
		moves = PerfectMoves(b)
	}
	return moves[rng.IntN(len(moves))]
}

// result counts how the model's games ended. The model always plays its likeliest
// token: one that is not a legal move loses the game.
type result struct {
	games, wins, draws int
	losses             int // illegal choices included
	moves              int // that the model chose
	illegal            int // of those
}

// scores are what a result says of the model.
func (r result) scores() []runs.Score {
	share := func(name string, n, of int, what string, better runs.Better) runs.Score {
		return runs.Score{Name: name, Value: float64(n) / float64(max(of, 1)), Unit: runs.Share, Count: of, Of: what, Better: better}
	}
	return []runs.Score{
		share("games won", r.wins, r.games, "games", runs.Higher),
		share("games drawn", r.draws, r.games, "games", ""),
		share("games lost", r.losses, r.games, "games", runs.Lower),
		share("legal moves", r.moves-r.illegal, r.moves, "moves", runs.Higher),
	}
}

// atOnce is how many games are played at once.
const atOnce = 64

// contest plays many games.
func contest(ctx context.Context, m *infer.Model, o task.Match, each func(string)) ([]runs.Score, error) {
	p, err := newPlayer(m.Model, m.Tokenizer, min(atOnce, max(o.Games, 1)))
	if err != nil {
		return nil, err
	}
	defer p.Release()
	var report func(string, byte, string)
	if each != nil {
		report = func(moves string, side byte, end string) { each(fmt.Sprintf("%-9s model %c: %s", moves, side, end)) }
	}
	r, err := p.contest(ctx, o, report)
	return r.scores(), err
}

// contest plays games, as many at once as the player has room for. each gets
// the moves of every game, the model's side and how it ended, if it is not nil.
func (p *player) contest(ctx context.Context, o task.Match, each func(moves string, side byte, end string)) (result, error) {
	var r result
	if o.Opponent != random && o.Opponent != perfect {
		return r, fmt.Errorf("there is no player %q: choose %s or %s", o.Opponent, random, perfect)
	}
	if o.Side != "" && o.Side != "X" && o.Side != "O" {
		return r, fmt.Errorf("there is no side %q: choose X or O", o.Side)
	}
	rng := rand.New(rand.NewPCG(o.Seed, 0x6172656e61))
	for first := 0; first < o.Games; first += p.games {
		n := min(p.games, o.Games-first)
		boards, sides := make([]Board, n), make([]byte, n)
		forfeit := make([]bool, n)
		for i := range sides {
			sides[i] = 'X'
			if o.Side == "O" || o.Side == "" && (first+i)%2 == 1 {
				sides[i] = 'O'
			}
		}
		p.reset()
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
				} else if err := b.Play(opponentMove(*b, o.Opponent, rng)); err != nil {
					return r, err
				}
			}
			if !playing {
				break
			}
			chosen, err := p.choose(ctx, boards, mine)
			if err != nil {
				return r, err
			}
			for j, i := range mine {
				r.moves++
				if boards[i].Play(chosen[j]) != nil {
					r.illegal++
					forfeit[i] = true
				}
			}
		}
		for i := range boards {
			r.games++
			end := "draw"
			switch w := boards[i].Winner(); {
			case forfeit[i]:
				r.losses++
				end = "illegal move"
			case w == 0:
				r.draws++
			case w == sides[i]:
				r.wins++
				end = "won"
			default:
				r.losses++
				end = "lost"
			}
			if each != nil {
				each(boards[i].Text(), sides[i], end)
			}
		}
	}
	return r, nil
}
