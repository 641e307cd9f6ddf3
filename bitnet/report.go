package bitnet

import (
	"fmt"
	"path/filepath"
	"time"

	"bitnet/data"
	"bitnet/graph"
)

// report is the part of a Trainer that measures and logs. What it runs on the
// device is made when it is first needed, and kept.
type report struct {
	metrics, evals, samples *journal
	board                   *board

	observed int64              // the steps before this one were read from the device
	unlogged []graph.StepResult // those of them that no line of metrics tells of
	loss     float64            // of the last line of metrics
	began    time.Time          // of the training that the next line tells of

	shares    *graph.ShareCounter
	evaluator *Evaluator
	examiner  *examiner
	generator *Generator // for samples
}

// openLogs opens the logs at the trainer's step, again after a rollback.
func (t *Trainer) openLogs() error {
	t.closeLogs()
	logs := []struct {
		to   **journal
		name string
	}{{&t.metrics, "metrics"}, {&t.evals, "eval"}, {&t.samples, "samples"}, {&t.watch.log, "anomalies"}}
	for _, l := range logs {
		if *l.to != nil {
			continue // a rollback undoes no anomaly
		}
		var err error
		if *l.to, err = openJournal(filepath.Join(t.Dir, "logs", l.name+".jsonl"), t.state.Step); err != nil {
			return fmt.Errorf("opening the logs: %w", err)
		}
	}
	return t.openBoard()
}

// closeLogs closes the logs that a rollback winds back.
func (t *Trainer) closeLogs() {
	for _, l := range []**journal{&t.metrics, &t.evals, &t.samples} {
		if *l != nil {
			(*l).close()
			*l = nil
		}
	}
}

// sharesDue says whether the line of metrics of the present step has the
// ternary shares: about a hundred lines of a run have, the first and every
// tenth at least. They are the most of a line, and change slowly.
func (t *Trainer) sharesDue() bool {
	each := int64(max(t.Config.Output.LogInterval, 1))
	lines := int64(t.Config.Train.Steps) / each
	return t.state.Step == int64(len(t.unlogged)) || t.state.Step%(each*min(max(lines/100, 1), 10)) == 0
}

// measure logs the steps that were observed since the last time; withShares
// says whether the line has the ternary shares.
func (t *Trainer) measure(withShares bool) error {
	took, history := time.Since(t.began).Seconds(), t.unlogged
	c := &t.Config.Train
	n := float64(len(history))
	last := history[len(history)-1]
	m := Metrics{
		Step: t.state.Step, Loss: float64(last.Loss), GradNorm: float64(last.GradNorm),
		LR: c.learningRate(t.state.Step - 1), WeightDecay: c.weightDecay(t.state.Step - 1),
		StepTimeMS: 1000 * took / n, TokensPerSec: n * float64(c.BatchSize*c.SeqLen*c.GradAccum) / took,
		TokensSeen: t.state.TokensSeen, Memory: t.dev.Stats().Allocated,
	}
	for _, h := range history {
		m.LossMean += float64(h.Loss) / n
	}
	var shares []graph.Shares
	if withShares {
		var err error
		if shares, err = t.countShares(); err != nil {
			return err
		}
		m.Ternary = make(map[string][3]float64, len(shares))
		for _, s := range shares {
			m.Ternary[s.Name] = [3]float64{s.Minus, s.Zero, s.Plus}
		}
	}
	t.unlogged, t.loss = t.unlogged[:0], m.LossMean
	if err := t.metrics.add(m); err != nil {
		return fmt.Errorf("writing metrics: %w", err)
	}
	if err := t.board.metrics(m); err != nil {
		return err
	}
	if t.events.Metrics != nil {
		t.events.Metrics(m)
	}
	if withShares {
		found := judgeShares(shares)
		for i := range found {
			found[i].Step = t.state.Step
		}
		if _, err := t.respond(t.watch.lasting(found, TernaryCollapse), shares); err != nil {
			return err
		}
	}
	t.began = time.Now()
	return nil
}

func (t *Trainer) countShares() ([]graph.Shares, error) {
	if t.shares == nil {
		var err error
		if t.shares, err = t.model.Params.NewShareCounter(t.dev); err != nil {
			return nil, err
		}
	}
	return t.shares.Count()
}

func (t *Trainer) evaluate() error {
	if t.corpus.heldOut == nil {
		return nil
	}
	if t.evaluator == nil {
		var err error
		if t.evaluator, err = t.model.NewEvaluator(t.dev, t.Config.Train.BatchSize, t.Config.Train.SeqLen); err != nil {
			return err
		}
	}
	src, err := t.corpus.heldOut()
	if err != nil {
		return err
	}
	r, err := t.evaluator.Loss(src, int64(max(t.Config.Output.EvalSamples, 1)), nil)
	if err != nil {
		return err
	}
	r.Step = t.state.Step
	if t.examiner == nil {
		t.examiner = &examiner{model: t.model, dev: t.dev, corpus: t.corpus}
	}
	if err := t.examiner.examine(max(t.Config.Output.EvalSamples, 1), &r); err != nil {
		return err
	}
	if err := t.evals.add(r); err != nil {
		return fmt.Errorf("writing an evaluation: %w", err)
	}
	if err := t.board.eval(r); err != nil {
		return err
	}
	if t.events.Eval != nil {
		t.events.Eval(r)
	}
	return nil
}

// sampleTokens is how much is generated for each prompt.
const sampleTokens = 48

func (t *Trainer) sample() error {
	prompts, tok := t.Config.Output.Prompts, t.corpus.tokenizer
	if len(prompts) == 0 || tok == nil {
		return nil
	}
	var err error
	if t.generator == nil {
		if t.generator, err = t.model.NewGenerator(t.dev, len(prompts), t.Config.Train.SeqLen); err != nil {
			return err
		}
	}
	ids := make([][]uint32, len(prompts))
	for i, p := range prompts {
		if ids[i], err = beginning(tok, p); err != nil {
			return fmt.Errorf("output.prompts: %w", err)
		}
	}
	eos, ok := tok.EOS()
	if !ok {
		eos = data.Ignore
	}
	entropy, chosen := make([]float64, len(prompts)), make([]int, len(prompts))
	out, err := t.generator.Generate(ids, sampleTokens, eos, func(i int, logits []float32) uint32 {
		entropy[i] += entropyOfLogits(logits)
		chosen[i]++
		return Greedy(i, logits)
	})
	if err != nil {
		return err
	}
	var samples []Sample
	for i, p := range prompts {
		s := Sample{t.state.Step, "greedy", p, tok.Decode(out[i]), entropy[i] / float64(max(chosen[i], 1))}
		samples = append(samples, s)
		if err := t.samples.add(s); err != nil {
			return fmt.Errorf("writing a sample: %w", err)
		}
	}
	if err := t.board.samples(samples); err != nil {
		return err
	}
	if t.events.Samples != nil {
		t.events.Samples(samples)
	}
	if t.state.Step < max(judgedFrom, int64(t.Config.Train.Steps)/10) {
		return nil
	}
	found := judgeSamples(samples, out, t.loss)
	for i := range found {
		found[i].Step = t.state.Step
	}
	_, err = t.respond(t.watch.lasting(found, Repetition, EntropyCollapse), samples)
	return err
}
