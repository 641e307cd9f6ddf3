// Package tictactoe is the task of a game: a model learns the perfect move of
// every position, and is examined in games against a random player.
package tictactoe

import (
	"context"

	"bitnet/bitnet/model"
	"bitnet/bitnet/runs"
	"bitnet/bitnet/task"
	"bitnet/data"
)

// Kind is the task in the table.
var Kind = task.Kind{
	Name:  "tictactoe",
	About: "games of tic-tac-toe, learned from perfect players",
	Open:  open,
	Holds: func(int) task.Held { return task.Held{Prompts: len(prompts), Examined: atOnce, Length: cells + 1} },
	Try:   func(dir string) string { return "bitnet play tictactoe " + dir },
	Game:  &task.Game{Sides: []string{"X", "O"}, Opponents: []string{random, perfect}, Play: play, Contest: contest},
}

// prompts are openings, which samples continue.
var prompts = []string{"", "5", "1", "15"}

type games struct {
	*Source
	o Options
}

func open(_ context.Context, o task.Options) (task.Task, error) {
	own := Options{Seq: o.Seq, Seed: o.Seed, Pack: o.Pack}
	s, err := NewSource(own)
	if err != nil {
		return nil, err
	}
	if err := task.OwnVocabulary("tic-tac-toe", s.Tokenizer(), o); err != nil {
		return nil, err
	}
	return games{s, own}, nil
}

func (g games) Train() data.Source { return g.Source }

// Validation gives other games through the same positions: the whole game is
// trained on.
func (g games) Validation() (data.Source, error) {
	o := g.o
	o.Seed, o.Once = o.Seed+1, true
	return NewSource(o)
}

func (g games) Prompts() []string { return prompts }
func (g games) IsText() bool      { return false }

// fullExamination is how many games it has.
const fullExamination = 1000

type examination struct{ *player }

func (g games) Examination(m *model.Model) (task.Examination, error) {
	p, err := newPlayer(m, g.Tokenizer(), atOnce)
	if err != nil {
		return nil, err
	}
	return examination{p}, nil
}

// Run plays n games against a random player.
func (x examination) Run(ctx context.Context, n int) ([]runs.Score, error) {
	if n == 0 {
		n = fullExamination
	}
	r, err := x.contest(ctx, task.Match{Games: n, Opponent: random}, nil)
	return r.scores(), err
}
