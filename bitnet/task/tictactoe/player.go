package tictactoe

import (
	"context"
	"errors"
	"fmt"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/model"
	"bitnet/data/tokenizer"
)

// tokens makes the tokenizer of games: one token per cell.
func tokens() (*tokenizer.Tokenizer, error) { return tokenizer.Characters("123456789") }

// player lets a model choose moves in several games at once.
type player struct {
	gen   *infer.Generator
	tok   *tokenizer.Tokenizer
	bos   uint32
	cells map[uint32]int
	games int // at once
}

// newPlayer makes room for n games. It refuses a model of another task.
func newPlayer(m *model.Model, tok *tokenizer.Tokenizer, n int) (*player, error) {
	own, err := tokens()
	if err != nil {
		return nil, err
	}
	if tok.Hash() != own.Hash() {
		return nil, errors.New("this model was not trained on tic-tac-toe: train one with bitnet train --exp tictactoe")
	}
	const longest = cells + 1 // <s> and nine moves
	if m.Config.MaxPositions < longest {
		return nil, fmt.Errorf("this model's context of %d tokens is too short for a game", m.Config.MaxPositions)
	}
	p := &player{tok: tok, cells: map[uint32]int{}, games: n}
	p.bos, _ = tok.BOS()
	for cell := 1; cell <= cells; cell++ {
		id, _ := tok.ID(string(rune('0' + cell)))
		p.cells[id] = cell
	}
	p.gen, err = infer.NewGenerator(m, n, longest)
	return p, err
}

// reset begins new games.
func (p *player) reset() {
	for i := range p.games {
		p.gen.Truncate(i, 0)
	}
}

// Release frees the player's buffers.
func (p *player) Release() { p.gen.Release() }

// choose gives the model's move in some of the games, by their numbers; 0
// where its likeliest token is not a cell. Games only grow between two calls,
// until reset.
func (p *player) choose(ctx context.Context, games []Board, which []int) ([]int, error) {
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
	logits, err := p.gen.Feed(ctx, feed)
	if err != nil {
		return nil, err
	}
	out := make([]int, len(which))
	for j, i := range which {
		out[j] = p.cells[infer.Greedy(i, logits[i])]
	}
	return out, nil
}
