package bitnet

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"

	"bitnet/data"
	"bitnet/gpu"
	"bitnet/graph"
)

// EvalResult is what an evaluation measured.
type EvalResult struct {
	Step       int64   `json:"step"`
	Loss       float64 `json:"loss"` // mean over the tokens that carry loss
	Perplexity float64 `json:"perplexity"`
	Tokens     int64   `json:"tokens"`
	// ExactMatch is the share of held-out problems answered right, and
	// Operators the same by operator; only for arithmetic.
	ExactMatch *float64           `json:"exact_match,omitempty"`
	Operators  map[string]float64 `json:"exact_match_by_operator,omitempty"`
	Problems   int                `json:"problems,omitempty"`
	Digits     []DigitResult      `json:"exact_match_by_digits,omitempty"`
	// Arena are games of tic-tac-toe against a random player.
	Arena *ArenaResult `json:"arena,omitempty"`
}

// DigitResult counts the problems of one operator whose larger operand has so
// many digits.
type DigitResult struct {
	Operator string `json:"operator"`
	Digits   int    `json:"digits"`
	Right    int    `json:"right"`
	Problems int    `json:"problems"`
}

// TokenLogProb is the log-probability of one token given those before it.
type TokenLogProb struct {
	Row      int     `json:"row"`
	Position int     `json:"pos"` // of the predicted token in its row, from 1
	Token    uint32  `json:"token"`
	LogProb  float64 `json:"logprob"`
}

// Evaluator runs a model forward over data.
type Evaluator struct {
	model   *Model
	program *graph.Program
	batch   *data.Batch
	losses  []float32
}

// NewEvaluator compiles the forward pass for batches of rows x seq tokens.
func (m *Model) NewEvaluator(dev *gpu.Device, rows, seq int) (*Evaluator, error) {
	g := graph.New(m.Params, rows, seq)
	g.Loss(m.forward(g), m.embed)
	plan, err := g.PlanForward()
	if err != nil {
		return nil, err
	}
	program, err := plan.Compile(dev)
	if err != nil {
		return nil, err
	}
	return &Evaluator{m, program, data.NewBatch(rows, seq), make([]float32, rows*seq)}, nil
}

// Release frees the evaluator's buffers.
func (e *Evaluator) Release() { e.program.Release() }

// Loss is the mean loss over at most rows rows of a source; each is called
// for every token that carries loss, if it is not nil.
func (e *Evaluator) Loss(src data.Source, rows int64, each func(TokenLogProb) error) (EvalResult, error) {
	var r EvalResult
	sum := 0.0
	for row := int64(0); row < rows; row += int64(e.batch.Rows) {
		err := src.Next(e.batch)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return r, err
		}
		if err := e.program.Load(e.batch.Inputs, e.batch.Targets, e.model.Config.VocabSize); err != nil {
			return r, err
		}
		if err := e.program.Run(false); err != nil {
			return r, err
		}
		if err := e.program.Losses(e.losses); err != nil {
			return r, err
		}
		for i, target := range e.batch.Targets {
			at := row + int64(i/e.batch.Seq)
			if target == data.Ignore || at >= rows {
				continue
			}
			sum += float64(e.losses[i])
			r.Tokens++
			if each != nil {
				if err := each(TokenLogProb{int(at), i%e.batch.Seq + 1, target, -float64(e.losses[i])}); err != nil {
					return r, err
				}
			}
		}
	}
	if r.Tokens > 0 {
		r.Loss = sum / float64(r.Tokens)
		r.Perplexity = math.Exp(r.Loss)
	}
	return r, nil
}

// arenaGames is how many games an evaluation plays unless told.
const arenaGames = 1000

// examiner lets a model do what it was trained for. What it runs on the device
// is made when it is first needed, and kept.
type examiner struct {
	model    *Model
	dev      *gpu.Device
	corpus   *corpus
	answerer *Generator
	player   *Player
}

// examine adds to r how n problems or games went, or for 0 as many as a full
// examination has.
func (e *examiner) examine(n int, r *EvalResult) (err error) {
	switch {
	case e.corpus.arithmetic != nil:
		if e.answerer == nil {
			if e.answerer, err = e.model.NewGenerator(e.dev, arithmeticBatch, min(arithmeticContext, e.model.Config.MaxPositions)); err != nil {
				return err
			}
		}
		return exactMatch(e.answerer, e.corpus.arithmetic, n, r)
	case e.corpus.tictactoe != nil:
		if n == 0 {
			n = arenaGames
		}
		if e.player == nil {
			if e.player, err = e.model.NewPlayer(e.dev, e.corpus.tokenizer, arenaBatch); err != nil {
				return err
			}
		}
		a, err := e.player.Arena(ArenaOptions{Games: n, Against: "random"}, nil)
		r.Arena = &a
		return err
	}
	return nil
}

// release frees what was made.
func (e *examiner) release() {
	if e.answerer != nil {
		e.answerer.Release()
	}
	if e.player != nil {
		e.player.Release()
	}
}

// arithmeticContext is the longest problem with its answer: <s>100 * 100 = 10000.
const arithmeticContext = 24

// arithmeticBatch is how many problems are answered at once.
const arithmeticBatch = 64

// exactMatch answers the first n held-out problems greedily, or all for 0, and
// counts those that are right to the last character.
func exactMatch(g *Generator, a *data.Arithmetic, n int, r *EvalResult) (err error) {
	problems := a.HeldOut()
	if n > 0 && n < len(problems) {
		problems = problems[:n]
	}
	tok := a.Tokenizer()
	eos, _ := tok.EOS()
	byDigits := map[DigitResult]*DigitResult{}
	for first := 0; first < len(problems); first += arithmeticBatch {
		block := problems[first:min(first+arithmeticBatch, len(problems))]
		prompts := make([][]uint32, len(block))
		for i, p := range block {
			if prompts[i], err = beginning(tok, p.Prompt()); err != nil {
				return err
			}
		}
		answers, err := g.Generate(prompts, 8, eos, Greedy)
		if err != nil {
			return err
		}
		for i, p := range block {
			key := DigitResult{Operator: string(p.Op), Digits: len(strconv.Itoa(max(p.A, p.B)))}
			d := byDigits[key]
			if d == nil {
				d = &key
				byDigits[key] = d
			}
			d.Problems++
			if tok.Decode(answers[i]) == p.Answer() {
				d.Right++
			}
		}
	}
	all, right, total := 0, map[string]int{}, map[string]int{}
	for _, d := range byDigits {
		all += d.Right
		right[d.Operator] += d.Right
		total[d.Operator] += d.Problems
		r.Digits = append(r.Digits, *d)
	}
	share := float64(all) / float64(len(problems))
	r.ExactMatch, r.Problems, r.Operators = &share, len(problems), map[string]float64{}
	for op, n := range total {
		r.Operators[op] = float64(right[op]) / float64(n)
	}
	slices.SortFunc(r.Digits, func(a, b DigitResult) int {
		return cmp.Or(cmp.Compare(a.Operator, b.Operator), cmp.Compare(a.Digits, b.Digits))
	})
	return nil
}

// EvalOptions say what to measure a checkpoint on.
type EvalOptions struct {
	Data string // as in DataConfig.Source; "" is what the run holds out
	Rows int    // at most so many sequences and problems; 0 for all
	Each func(TokenLogProb) error
}

// Evaluate loads a run's newest checkpoint, or the checkpoint given, and
// measures it.
func Evaluate(ctx context.Context, dev *gpu.Device, path string, o EvalOptions, warn func(string)) (EvalResult, error) {
	dir, state, err := FindCheckpoint(path, warn)
	if err != nil {
		return EvalResult{}, err
	}
	c, err := LoadConfig(filepath.Join(dir, "config.yaml"))
	if err != nil {
		return EvalResult{}, err
	}
	if c.Model, err = ReadModelConfig(dir); err != nil {
		return EvalResult{}, err
	}
	if o.Data != "" {
		c.Data.Source, c.Data.Shuffle = o.Data, false
	}
	if err := c.Check(); err != nil {
		return EvalResult{}, err
	}
	corpus, err := openCorpus(ctx, c, nil, true, Events{Note: warn})
	if err != nil {
		return EvalResult{}, err
	}
	m := NewModel(c.Model, dev.Adapter())
	if err := m.Params.Layout(false); err != nil {
		return EvalResult{}, err
	}
	if err := m.Params.Allocate(dev); err != nil {
		return EvalResult{}, err
	}
	if err := m.loadWeights(filepath.Join(dir, "model.safetensors"), graph.Master, ""); err != nil {
		return EvalResult{}, err
	}
	if err := m.Params.Quantize(dev); err != nil {
		return EvalResult{}, err
	}
	rows, batch := int64(o.Rows), c.Train.BatchSize
	src := corpus.train
	if corpus.heldOut != nil {
		if src, err = corpus.heldOut(); err != nil {
			return EvalResult{}, err
		}
		if rows == 0 {
			rows = math.MaxInt64
		}
	} else if t, ok := src.(*data.Tokens); ok && (rows == 0 || rows > t.Windows()) {
		rows = t.Windows() // one pass
	}
	e, err := m.NewEvaluator(dev, batch, c.Train.SeqLen)
	if err != nil {
		return EvalResult{}, err
	}
	r, err := e.Loss(src, rows, o.Each)
	e.Release()
	r.Step = state.Step
	if err != nil {
		return r, err
	}
	x := examiner{model: m, dev: dev, corpus: corpus}
	defer x.release()
	return r, x.examine(o.Rows, &r)
}
