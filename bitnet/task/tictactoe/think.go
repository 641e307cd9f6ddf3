package tictactoe

import (
	"context"
	"math"

	"bitnet/bitnet/infer"
	"bitnet/data/tokenizer"
)

// Speaks reports whether a tokenizer is that of the game, so that a model with it
// can play.
func Speaks(tok *tokenizer.Tokenizer) bool {
	own, err := tokens()
	return err == nil && tok != nil && tok.Hash() == own.Hash()
}

// Thinker shows what a model thinks of positions. It is for one goroutine at a time.
type Thinker struct{ *player }

// NewThinker makes room for a game on the model's device. It refuses a model of
// another task.
func NewThinker(m *infer.Model) (*Thinker, error) {
	p, err := newPlayer(m.Model, m.Tokenizer, 1)
	if err != nil {
		return nil, err
	}
	return &Thinker{p}, nil
}

// Thought is what a model thinks of a position.
type Thought struct {
	// Cells are the probabilities softmax(logits) of the cells 1 to 9 as the next
	// move; what is missing to 1 goes to tokens that are no move.
	Cells [cells]float64
	// Choice is the move that the model makes: its likeliest token, or 0 if that is
	// not a cell. It may be taken.
	Choice int
}

// Think gives what the model thinks of the next move of a game.
func (t *Thinker) Think(ctx context.Context, b Board) (Thought, error) {
	t.reset()
	feed := []uint32{t.bos}
	for _, c := range b.Text() {
		id, _ := t.tok.ID(string(c))
		feed = append(feed, id)
	}
	logits, err := t.gen.Feed(ctx, [][]uint32{feed})
	if err != nil {
		return Thought{}, err
	}
	row := logits[0]
	largest, sum := math.Inf(-1), 0.0
	for _, v := range row {
		largest = max(largest, float64(v))
	}
	for _, v := range row {
		sum += math.Exp(float64(v) - largest)
	}
	var out Thought
	for id, cell := range t.cells {
		out.Cells[cell-1] = math.Exp(float64(row[id])-largest) / sum
	}
	out.Choice = t.cells[infer.Greedy(0, row)]
	return out, nil
}
