package infer

import (
	"context"
	"errors"
	"io"
	"math"

	"bitnet/bitnet/model"
	"bitnet/data"
	"bitnet/graph"
)

// TokenLogProb is the log-probability of one token given those before it.
type TokenLogProb struct {
	Row      int     `json:"row"`
	Position int     `json:"pos"` // of the predicted token in its row, from 1
	Token    uint32  `json:"token"`
	LogProb  float64 `json:"logprob"`
}

// Loss is what a Scorer measured.
type Loss struct {
	Sum    float64 // over the tokens that carry loss, in nats
	Mean   float64 // of these
	Tokens int64   // that carry loss
}

// Perplexity is e to the mean loss, or 0 where no token carried loss.
func (l Loss) Perplexity() float64 {
	if l.Tokens == 0 {
		return 0
	}
	return math.Exp(l.Mean)
}

// Scorer measures the loss of a model over data. The model may be in training.
type Scorer struct {
	vocab   int
	program *graph.Program
	batch   *data.Batch
	losses  []float32
}

// NewScorer compiles the forward pass for batches of rows x seq tokens. The rows
// of a packed source hold several documents. training is the program that trains
// the model, in whose memory the scorer then computes, or nil.
func NewScorer(m *model.Model, rows, seq int, packed bool, training *graph.Program) (*Scorer, error) {
	plan, err := m.PlanLoss(rows, seq, packed)
	if err != nil {
		return nil, err
	}
	var program *graph.Program
	if training != nil {
		program, err = plan.CompileOver(training)
	} else {
		program, err = plan.Compile(m.Device())
	}
	if err != nil {
		return nil, err
	}
	batch := data.NewBatch(rows, seq)
	if packed {
		batch = data.NewPackedBatch(rows, seq)
	}
	return &Scorer{m.Config.VocabSize, program, batch, make([]float32, rows*seq)}, nil
}

// ScorerBytes is what a Scorer holds on the device, in the memory of a training step of
// the plan. The model needs no device.
func ScorerBytes(m *model.Model, rows, seq int, packed bool, training *graph.Plan) (int64, error) {
	plan, err := m.PlanLoss(rows, seq, packed)
	if err != nil {
		return 0, err
	}
	return plan.Own(training), nil
}

// LoadBatch writes a batch to a program of the loss.
func LoadBatch(p *graph.Program, b *data.Batch, vocab int) error {
	if b.Begins != nil {
		return p.LoadPacked(b.Inputs, b.Targets, b.Begins, vocab)
	}
	return p.Load(b.Inputs, b.Targets, vocab)
}

// Release frees the scorer's buffers.
func (s *Scorer) Release() { s.program.Release() }

// Loss is the mean loss over at most rows rows of a source, which it reads to
// its end where that comes before. each gets every token that carries loss, if
// it is not nil.
func (s *Scorer) Loss(ctx context.Context, src data.Source, rows int64, each func(TokenLogProb) error) (Loss, error) {
	return s.PartOfLoss(ctx, src, rows, 0, 1, each)
}

// PartOfLoss is Loss over one part of n: batch number part, part + n and so on.
func (s *Scorer) PartOfLoss(ctx context.Context, src data.Source, rows int64, part, n int, each func(TokenLogProb) error) (Loss, error) {
	var l Loss
	for row, number := int64(0), 0; row < rows; row, number = row+int64(s.batch.Rows), number+1 {
		if err := ctx.Err(); err != nil {
			return l, err
		}
		err := src.Next(s.batch)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return l, err
		}
		if number%n != part {
			continue
		}
		if err := LoadBatch(s.program, s.batch, s.vocab); err != nil {
			return l, err
		}
		if err := s.program.MicroBatch(); err != nil {
			return l, err
		}
		if err := s.program.Losses(s.losses); err != nil {
			return l, err
		}
		for i, target := range s.batch.Targets {
			at := row + int64(i/s.batch.Seq)
			if target == data.Ignore || at >= rows {
				continue
			}
			l.Sum += float64(s.losses[i])
			l.Tokens++
			if each != nil {
				if err := each(TokenLogProb{int(at), i%s.batch.Seq + 1, target, -float64(s.losses[i])}); err != nil {
					return l, err
				}
			}
		}
	}
	if l.Tokens > 0 {
		l.Mean = l.Sum / float64(l.Tokens)
	}
	return l, nil
}
