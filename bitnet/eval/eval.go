// Package eval measures models: the loss over a task's data, and what its
// examination says, and for text the bits per byte. Training evaluates with it, and so does bitnet eval.
package eval

import (
	"context"
	"fmt"
	"math"

	"bitnet/bitnet/cluster"
	"bitnet/bitnet/infer"
	"bitnet/bitnet/model"
	"bitnet/bitnet/runs"
	"bitnet/bitnet/task"
	"bitnet/data"
	"bitnet/data/tokenizer"
	"bitnet/graph"
)

// Evaluator evaluates one model again and again. What it runs on the device is
// made when it is first needed, and kept.
type Evaluator struct {
	model       *model.Model
	task        task.Task
	scorer      *infer.Scorer
	examination task.Examination // nil where there is none, or not yet
	examined    bool             // the task was asked for one
	group       *cluster.Group   // the ranks that share the work
}

// New makes an evaluator of a model, which may be in training, over batches of
// rows x seq tokens, packed if the task's are. training is the program that trains
// the model, in whose memory the loss is then computed, or nil.
func New(m *model.Model, t task.Task, rows, seq int, packed bool, training *graph.Program) (*Evaluator, error) {
	scorer, err := infer.NewScorer(m, rows, seq, packed, training)
	if err != nil {
		return nil, err
	}
	return &Evaluator{model: m, task: t, scorer: scorer}, nil
}

// Spread shares the work among ranks, which all evaluate the same model over the
// same data: each computes a part of the loss, and rank 0 examines.
func (e *Evaluator) Spread(group *cluster.Group) { e.group = group }

// Release frees the evaluator's buffers.
func (e *Evaluator) Release() {
	e.scorer.Release()
	if e.examination != nil {
		e.examination.Release()
	}
}

// Evaluate measures the loss over at most rows rows of a source, and examines
// the model in n problems or games, or for 0 in a full examination. each gets
// every token that carries loss, if it is not nil.
func (e *Evaluator) Evaluate(ctx context.Context, src data.Source, rows int64, n int, each func(infer.TokenLogProb) error) (runs.Eval, error) {
	bytes := byteCounter{text: e.task.IsText(), tok: e.task.Tokenizer()}
	loss, err := e.scorer.PartOfLoss(ctx, src, rows, e.group.Rank(), e.group.Size(), func(p infer.TokenLogProb) error {
		bytes.add(p.Token)
		if each == nil {
			return nil
		}
		return each(p)
	})
	if err == nil {
		err = e.addUp(&loss, &bytes)
	}
	if err != nil {
		return runs.Eval{}, err
	}
	out := runs.Eval{Loss: runs.Number(loss.Mean), Perplexity: runs.Number(loss.Perplexity()), Tokens: loss.Tokens}
	if bytes.known() {
		out.Scores = append(out.Scores, runs.NewBitsPerByte(loss.Mean, loss.Tokens, bytes.n))
	}
	if e.group.Rank() > 0 {
		return out, nil
	}
	if !e.examined {
		if e.examination, err = e.task.Examination(e.model); err != nil {
			return out, err
		}
		e.examined = true
	}
	if e.examination != nil {
		var found []runs.Score
		found, err = e.examination.Run(ctx, n)
		out.Scores = append(out.Scores, found...)
	}
	return out, err
}

// addUp makes what this rank has measured what all have, in the order of the ranks.
func (e *Evaluator) addUp(loss *infer.Loss, bytes *byteCounter) error {
	if e.group.Size() == 1 {
		return nil
	}
	unknown := 0.
	if bytes.unknown {
		unknown = 1
	}
	all, err := e.group.GatherFloats(loss.Sum, float64(loss.Tokens), float64(bytes.n), unknown)
	if err != nil {
		return err
	}
	*loss, bytes.n = infer.Loss{}, 0
	for _, r := range all {
		loss.Sum += r[0]
		loss.Tokens += int64(r[1])
		bytes.n += int64(r[2])
		bytes.unknown = bytes.unknown || r[3] > 0
	}
	if loss.Tokens > 0 {
		loss.Mean = loss.Sum / float64(loss.Tokens)
	}
	return nil
}

// byteCounter counts the bytes of text that tokens stand for.
type byteCounter struct {
	text    bool // the tokens are of text
	tok     *tokenizer.Tokenizer
	n       int64
	unknown bool // a token stands for an unknown number of bytes
}

func (c *byteCounter) add(token uint32) {
	if !c.text {
		return
	}
	n, ok := c.tok.TextBytes(token)
	c.n += int64(n)
	c.unknown = c.unknown || !ok
}

// known reports whether n is the number of bytes of all tokens.
func (c *byteCounter) known() bool { return c.text && !c.unknown && c.n > 0 }

// Options say what a model is measured on.
type Options struct {
	Rows int // at most so many sequences, and problems or games; 0 for all
	Each func(infer.TokenLogProb) error
}

// Once evaluates a model on a task's validation data, once.
func Once(ctx context.Context, m *model.Model, t task.Task, rows, seq int, packed bool, o Options) (runs.Eval, error) {
	src, err := t.Validation()
	if err == nil && src == nil {
		err = fmt.Errorf("this data has no validation part to measure a model on")
	}
	if err != nil {
		return runs.Eval{}, err
	}
	e, err := New(m, t, rows, seq, packed, nil)
	if err != nil {
		return runs.Eval{}, err
	}
	defer e.Release()
	most := int64(o.Rows)
	if most == 0 {
		most = math.MaxInt64
	}
	return e.Evaluate(ctx, src, most, o.Rows, o.Each)
}
