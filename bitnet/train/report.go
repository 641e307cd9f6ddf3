package train

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"bitnet/bitnet/eval"
	"bitnet/bitnet/infer"
	"bitnet/bitnet/runs"
	"bitnet/bitnet/runs/tensorboard"
	"bitnet/bitnet/task/catalog"
	"bitnet/data"
	"bitnet/graph"
)

// report is the part of a Trainer that measures and logs. What it runs on the
// device is made when it is first needed, and kept.
type report struct {
	logs *runs.Logs

	observed int64              // the steps before this one were read from the device
	unlogged []graph.StepResult // those of them that no line of metrics contains
	carried  int                // of unlogged, the first that a process before this one trained
	loss     float64            // of the last line of metrics
	began    time.Time          // of the training that the next line measures

	shares    *graph.ShareCounter
	evaluator *eval.Evaluator
	generator *infer.Generator // for samples
}

// release frees what was made on the device.
func (r *report) release() {
	if r.shares != nil {
		r.shares.Release()
	}
	if r.evaluator != nil {
		r.evaluator.Release()
	}
	if r.generator != nil {
		r.generator.Release()
	}
}

// openLogs opens the logs at the trainer's step.
func (t *Trainer) openLogs() error {
	var sinks []runs.Sink
	if t.Config.Output.TensorBoard {
		w, err := tensorboard.Open(t.Run.TensorBoard(), t.state.Step+1)
		if err != nil {
			return err
		}
		sinks = append(sinks, w)
	}
	var err error
	t.logs, err = t.Run.OpenLogs(t.state.Step, sinks...)
	return err
}

// sharesDue reports whether the metrics of the current step contain the ternary
// shares: about a hundred lines of a run do, at least the first and every tenth.
// They take up most of a line, and change slowly.
func (t *Trainer) sharesDue() bool {
	each := int64(max(t.Config.Output.LogInterval, 1))
	lines := int64(t.Config.Train.Steps) / each
	return t.state.Step == int64(len(t.unlogged)) || t.state.Step%(each*min(max(lines/100, 1), 10)) == 0
}

// measure logs the steps that were observed since the last time; withShares
// says whether the line has the ternary shares.
func (t *Trainer) measure(withShares bool) error {
	var waited []float64
	if t.exchange != nil {
		var err error
		if waited, err = t.exchange.report(); err != nil {
			return err
		}
	}
	if !t.leads() {
		t.unlogged, t.carried, t.began = t.unlogged[:0], 0, time.Now()
		return nil
	}
	took, history := time.Since(t.began).Seconds(), t.unlogged
	c := &t.Config.Train
	n, timed := float64(len(history)), float64(len(history)-t.carried)
	last := history[len(history)-1]
	mean, divergence := 0.0, 0.0
	for _, h := range history {
		mean += float64(h.Loss) / n
		divergence += float64(h.Divergence) / n
	}
	m := runs.Metrics{Step: t.state.Step}
	m.Set(runs.Loss, float64(last.Loss))
	m.Set(runs.LossMean, mean)
	if c.Teacher != "" {
		m.Set(runs.Divergence, divergence)
	}
	m.Set(runs.GradNorm, float64(last.GradNorm))
	if err := t.setGroupNorms(&m); err != nil {
		return err
	}
	if scale, known := noiseScale(t.state.Noise); known && t.noise.meter != nil {
		m.Set(runs.NoiseTokens, scale)
	}
	m.Set(runs.LR, t.learningRate(t.state.Step-1))
	m.Set(runs.WeightDecay, c.weightDecay(t.state.Step-1))
	if c.BatchGrowth != "" {
		m.Set(runs.StepTokens, float64(t.Config.TokensBetween(t.state.Step-1, t.state.Step)))
	}
	if c.QuantizeRamp > 0 {
		m.Set(runs.Ramp, c.ramp(t.state.Step-1))
	}
	m.Set(runs.StepTimeMS, 1000*took/timed)
	m.Set(runs.TokensPerSec, float64(t.Config.TokensBetween(t.state.Step-int64(timed), t.state.Step))/took)
	m.Set(runs.TokensSeen, float64(t.state.TokensSeen))
	m.Set(runs.Memory, float64(t.dev.Stats().Allocated))
	if waited != nil {
		setRanks(&m, waited, took)
	}
	var shares []graph.Shares
	if withShares && !t.model.Adapted() { // frozen ones do not change
		var err error
		if shares, err = t.countShares(); err != nil {
			return err
		}
		m.Ternary = make(map[string][3]float64, len(shares))
		for _, s := range shares {
			m.Ternary[s.Name] = [3]float64{s.Minus, s.Zero, s.Plus}
		}
	}
	t.unlogged, t.carried, t.loss = t.unlogged[:0], 0, mean
	if err := t.logs.Metrics(m); err != nil {
		return err
	}
	if t.events.Metrics != nil {
		t.events.Metrics(m)
	}
	if shares != nil {
		found := judgeShares(shares)
		for i := range found {
			found[i].Step = t.state.Step
		}
		if _, err := t.respond(t.watch.lasting(found, runs.TernaryCollapse), shares); err != nil {
			return err
		}
	}
	t.began = time.Now()
	return nil
}

// setRanks measures how ranks shared the work: waited is how long each waited for
// the others in the seconds that the line covers.
func setRanks(m *runs.Metrics, waited []float64, took float64) {
	n := float64(len(waited))
	slowest, sum := 0, 0.0
	for r, w := range waited {
		sum += w
		if w < waited[slowest] {
			slowest = r
		}
	}
	m.Set(runs.Ranks, n)
	m.Set(runs.TokensPerSecRank, m.Get(runs.TokensPerSec)/n)
	m.Set(runs.ExchangeShare, min(sum/n/took, 1))
	m.Set(runs.SlowestRank, float64(slowest))
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

// evaluate measures the validation loss and examines the model.
func (t *Trainer) evaluate(ctx context.Context) error {
	src, err := t.task.Validation()
	if err != nil || src == nil {
		return err
	}
	if t.evaluator == nil {
		if t.evaluator, err = eval.New(t.model, t.task, t.share.Rows, t.Config.Train.SeqLen, catalog.Packed(t.Config.Data.Source), t.program); err != nil {
			return err
		}
		t.evaluator.Spread(t.group)
	}
	n := max(t.Config.Output.EvalSamples, 1)
	e, err := t.evaluator.Evaluate(ctx, src, int64(n), n, nil)
	if err != nil {
		return err
	}
	e.Step = t.state.Step
	if t.leads() {
		if err := t.logs.Eval(e); err != nil {
			return err
		}
	}
	if t.Config.keepsBest() {
		t.best.add(e)
	}
	if t.events.Eval != nil {
		t.events.Eval(e)
	}
	return nil
}

// sampleTokens is how much is generated for each prompt.
const sampleTokens = 48

// sample continues the prompts by the likeliest tokens.
func (t *Trainer) sample(ctx context.Context) error {
	prompts, tok := t.Config.Output.Prompts, t.task.Tokenizer()
	if len(prompts) == 0 || tok == nil || !t.leads() {
		return nil
	}
	var err error
	if t.generator == nil {
		if t.generator, err = infer.NewGenerator(t.model, len(prompts), t.Config.Train.SeqLen); err != nil {
			return err
		}
	}
	ids := make([][]uint32, len(prompts))
	for i, p := range prompts {
		if ids[i], err = infer.Prompt(tok, p); err != nil {
			return fmt.Errorf("output.prompts: %w", err)
		}
	}
	eos, ok := tok.EOS()
	if !ok {
		eos = data.Ignore
	}
	entropy, chosen := make([]float64, len(prompts)), make([]int, len(prompts))
	out, err := t.generator.Generate(ctx, ids, sampleTokens, eos, func(i int, logits []float32) uint32 {
		entropy[i] += entropyOfLogits(logits)
		chosen[i]++
		return infer.Greedy(i, logits)
	})
	if err != nil {
		return err
	}
	var samples []runs.Sample
	for i, p := range prompts {
		s := runs.Sample{Step: t.state.Step, Mode: "greedy", Prompt: p, Text: tok.Decode(out[i]), Entropy: entropy[i] / float64(max(chosen[i], 1))}
		samples = append(samples, s)
		if err := t.logs.Sample(s); err != nil {
			return err
		}
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
	_, err = t.respond(t.watch.lasting(found, runs.Repetition, runs.EntropyCollapse), samples)
	return err
}

// entropyOfLogits is the entropy of softmax(logits), in nats.
func entropyOfLogits(logits []float32) float64 {
	top := float64(slices.Max(logits))
	sum, weighted := 0.0, 0.0
	for _, v := range logits {
		d := float64(v) - top
		e := math.Exp(d)
		sum += e
		if e > 0 {
			weighted += e * d
		}
	}
	return math.Log(sum) - weighted/sum
}
