package train

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"gopkg.in/yaml.v3"

	"bitnet/bitnet/runs"
	"bitnet/bitnet/task/catalog"
	"bitnet/data"
	"bitnet/data/tokenizer"
	"bitnet/graph"
)

// Peers are other machines that train the same model over slow links: each takes
// some steps alone, and then all continue from the mean of what they learnt.
// Package swarm implements it.
type Peers interface {
	// Join takes part, and gives the first round. The first worker of all brings the
	// weights that everybody begins with.
	Join(ctx context.Context, j *Joining) (*Round, error)
	// Due reports whether a round ends after so many local steps of it.
	Due(steps int) bool
	// Exchange sends what was learnt in a round, waits for the others and gives the
	// next round.
	Exchange(ctx context.Context, l Local) (*Round, error)
	// Leave says that the worker stops.
	Leave()
}

// Joining is what a worker says of itself.
type Joining struct {
	Run         *runs.Run
	Card        string
	Config      []byte            // config.yaml, without paths of this machine
	Tokenizer   map[string][]byte // files by name; nil without a tokenizer
	Agreement   map[string]string // settings that must be the same on all machines
	Step        int64
	Steps       int64 // of the schedule
	StepTokens  int64
	StepSamples int64 // samples that a step takes from the data, at most
	Weights     []float32
}

// Local is what a worker learnt in a round.
type Local struct {
	Steps   int
	Loss    float64   // mean of the steps
	Weights []float32 // all parameters in the order of graph.Params.All
}

// Round is what to continue with.
type Round struct {
	Number  int64
	Step    int64      // where the schedule stands
	Steps   int        // most local steps; 0 when the training is finished
	Tokens  int64      // that all workers have trained on
	Parts   [][2]int64 // stretches of samples to train on, counted over all epochs: first, end
	Weights []float32  // valid until the next call
	Swarm   *runs.Swarm
}

// peers is what a Trainer knows of the round that it trains; all is nil for a run
// that trains alone.
type peers struct {
	Peers
	round   *Round
	done    int        // local steps of the round
	part    [2]int64   // the stretch that the next step reads from
	parts   [][2]int64 // those after it
	samples int64      // of a step
	jumped  int64      // steps that others did, since the last step here
	weights []float32  // scratch: the local weights
}

// join takes part in the swarm.
func (t *Trainer) join(ctx context.Context) error {
	ps := t.model.Params
	t.peers.weights = make([]float32, ps.Count())
	if err := ps.ReadFlat(graph.Master, 0, t.peers.weights); err != nil {
		return err
	}
	var err error
	if t.peers.samples, err = t.stepSamples(); err != nil {
		return err
	}
	var files map[string][]byte
	if t.task.IsText() { // other tasks bring a tokenizer of their own
		if files, err = tokenizerFiles(t.task.Tokenizer()); err != nil {
			return err
		}
	}
	r, err := t.peers.Join(ctx, &Joining{
		Run: t.Run, Card: t.dev.Adapter().Name, Config: t.Config.shared().YAML(), Tokenizer: files, Agreement: t.Config.agreement(t.task.Tokenizer()),
		Step: t.state.Step, Steps: int64(t.Config.Train.Steps), StepTokens: t.TokensPerStep(), StepSamples: t.peers.samples, Weights: t.peers.weights,
	})
	if err != nil {
		return err
	}
	return t.adopt(r)
}

// endRound ends a round when it is due: the worker sends what it learnt, and
// continues from what all learnt. If ctx ends meanwhile, the loop sees it too.
func (t *Trainer) endRound(ctx context.Context) error {
	p := &t.peers
	p.jumped = 0
	if p.Peers == nil {
		return nil
	}
	p.done++
	if !p.Due(p.done) {
		return nil
	}
	if _, err := t.review(); err != nil { // what is not finite must not be sent
		return err
	}
	if err := t.model.Params.ReadFlat(graph.Master, 0, p.weights); err != nil {
		return err
	}
	r, err := p.Exchange(ctx, Local{Steps: p.done, Loss: t.recentLoss(p.done), Weights: p.weights})
	if err != nil && ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	return t.adopt(r)
}

// recentLoss is the mean training loss of the last n steps, of those that are
// remembered.
func (t *Trainer) recentLoss(n int) float64 {
	losses := t.state.Recent.Loss
	losses = losses[max(0, len(losses)-n):]
	sum := 0.0
	for _, l := range losses {
		sum += float64(l)
	}
	return sum / float64(max(len(losses), 1))
}

// adopt continues from the weights and the place in the schedule of a round. The
// optimizer keeps its moments, as in DiLoCo.
func (t *Trainer) adopt(r *Round) error {
	p, ps := &t.peers, t.model.Params
	if err := ps.WriteFlat(graph.Master, 0, r.Weights); err != nil {
		return err
	}
	if err := ps.Quantize(t.dev); err != nil {
		return err
	}
	if p.round != nil {
		p.jumped = r.Step - t.state.Step
	}
	t.state.Absent += r.Step - t.state.Step
	t.state.Step, t.observed, t.state.TokensSeen = r.Step, r.Step, r.Tokens
	t.state.Skipped = nil // batches are counted by the swarm
	p.round, p.done, p.part, p.parts = r, 0, [2]int64{}, r.Parts
	if r.Swarm == nil {
		return nil
	}
	return t.Run.WriteSwarm(r.Swarm)
}

// newcomerSteps is over how many steps a worker that joins a swarm late raises its
// learning rate, at most: as long as its moments need to average over something.
const newcomerSteps = 20

// learningRate is the schedule's, but for the first steps of a worker that joined its
// swarm after the warm-up: without moments it would take steps of full size along the
// noise of single batches. With k own updates and n = min(warmup_steps, newcomerSteps),
// the rate is (k+1)/n of the schedule's until k = n.
func (t *Trainer) learningRate(step int64) float64 {
	c := &t.Config.Train
	rate, own, n := c.learningRate(step), step-t.state.Absent, min(int64(c.WarmupSteps), newcomerSteps)
	if t.peers.Peers != nil && step >= int64(c.WarmupSteps) && own < n {
		rate *= float64(own+1) / float64(n)
	}
	return rate
}

// takePart moves to the worker's own part of the data, when the one before is used
// up.
func (t *Trainer) takePart() error {
	p := &t.peers
	if p.Peers == nil {
		return nil
	}
	begun := p.part[1] > 0
	for p.part[1]-p.part[0] < p.samples && len(p.parts) > 0 {
		p.part, p.parts, begun = p.parts[0], p.parts[1:], false
	}
	if !begun {
		if err := data.SeekSample(t.task.Train(), p.part[0]); err != nil {
			return fmt.Errorf("finding this worker's part of the training data: %w", err)
		}
	}
	p.part[0] += p.samples
	return nil
}

// stepSamples is how many samples a step takes from the data: as many as it has
// rows, or where rows are packed a quarter more than a first step takes.
func (t *Trainer) stepSamples() (int64, error) {
	src, rows := t.task.Train(), int64(0)
	at := src.Position()
	if err := data.SeekSample(src, 0); err != nil {
		return 0, err
	}
	if err := t.readBatches(t.batches); err != nil {
		return 0, err
	}
	for _, b := range t.batches {
		rows += int64(b.Rows)
	}
	took := src.Position()
	if err := src.Seek(at); err != nil {
		return 0, err
	}
	if took.Epoch == 0 && took.Offset > rows {
		return took.Offset + took.Offset/4, nil
	}
	return rows, nil
}

// finishJoined ends a run that joined a swarm that had finished: it keeps the
// weights.
func (t *Trainer) finishJoined(ctx context.Context) error {
	t.began, t.savedAt = time.Now(), time.Now()
	if err := t.examine(ctx, true, true); err != nil && !errors.Is(err, ctx.Err()) {
		return err
	}
	return t.save()
}

// shared is the configuration as other machines get it: without paths of this one.
func (c *Config) shared() *Config {
	s := *c
	s.Data.Dir, s.Data.Tokenizer, s.Train.Tuning = "", "", TuneAuto
	if k, argument, err := catalog.Find(c.Data.Source); err == nil && argument != "" {
		if _, ok := catalog.Known(c.Data.Source); !ok {
			s.Data.Source = k.Name + ":"
		}
	}
	return &s
}

// ownSettings may differ between the workers of a swarm: what each can bear, and
// what does not change the mathematics.
var ownSettings = map[string]bool{
	"train.batch_size": true, "train.grad_accum": true, "train.early_stopping": true, "train.on_anomaly": true,
	"train.precision": true, "train.tuning": true, "train.memory": true, "train.memory_budget": true, "train.moments": true, "train.exchange": true,
	"data.source": true, "data.tokenizer": true, "data.dir": true, "data.partial": true,
}

// agreement is what must be the same on all machines that train one model.
func (c *Config) agreement(tok *tokenizer.Tokenizer) map[string]string {
	out := map[string]string{"tokenizer": "none"}
	for _, section := range []struct {
		name  string
		value any
	}{{"model", c.Model}, {"data", c.Data}, {"train", c.Train}} {
		text, err := yaml.Marshal(section.value)
		var doc yaml.Node
		if err == nil {
			err = yaml.Unmarshal(text, &doc)
		}
		if err != nil {
			panic(err) // plain values only
		}
		found := map[string]*yaml.Node{}
		leaves(doc.Content[0], section.name, found)
		for key, node := range found {
			if !ownSettings[key] {
				out[key] = node.Value
			}
		}
	}
	if k, _, err := catalog.Find(c.Data.Source); err == nil {
		out["data.source"] = k.Name
	}
	if tok != nil {
		out["tokenizer"] = tok.Hash()[:min(16, len(tok.Hash()))]
	}
	return out
}

// Disagreement is the first setting in which a run differs from the configuration of a
// swarm, in words, as far as that is known before its data is opened; "" if there is
// none.
func (c *Config) Disagreement(swarm *Config) string {
	mine, theirs := c.agreement(nil), swarm.agreement(nil)
	delete(mine, "model.vocab_size") // it may grow with the tokenizer
	for _, key := range append([]string{"data.source"}, slices.Sorted(maps.Keys(mine))...) {
		if mine[key] != theirs[key] {
			return fmt.Sprintf("%s is %s here and %s in the swarm", key, mine[key], theirs[key])
		}
	}
	if c.TokensPerStep() != swarm.TokensPerStep() {
		return fmt.Sprintf("a step has %d tokens here and %d in the swarm", c.TokensPerStep(), swarm.TokensPerStep())
	}
	return ""
}

// tokenizerFiles are the files of a tokenizer by name.
func tokenizerFiles(tok *tokenizer.Tokenizer) (map[string][]byte, error) {
	if tok == nil {
		return nil, nil
	}
	dir, err := os.MkdirTemp("", "bitnet-tokenizer-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := tok.Save(dir); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return files, nil
}
