package train

import (
	"fmt"
	"math"
	"strings"
	"time"

	"bitnet/bitnet/suggest"
)

// size is a model for text, with the batch and the peak learning rate to train it
// with: the smaller the model, the smaller the steps that serve it.
type size struct {
	name                               string
	hidden, ffn, layers, heads, kv     int
	batch, seq, warmup                 int
	rate                               float64
	logEach, evalEach, checkpointsEach int // steps
}

// sizes is the table of sizes, the smallest first. base is the preset text.
var sizes = []size{
	{"tiny", 128, 384, 4, 4, 2, 16, 128, 100, 4e-3, 50, 500, 1000},
	{"small", 256, 768, 4, 4, 2, 16, 256, 100, 2.5e-3, 50, 500, 1000},
	{"base", 384, 1152, 6, 8, 4, 32, 256, 250, 1.5e-3, 100, 500, 1000},
}

// Sizes lists the names of the sizes, the smallest first.
func Sizes() []string {
	var names []string
	for _, s := range sizes {
		names = append(names, s.name)
	}
	return names
}

// Resize gives a configuration the model of a size, and the batch and learning rate
// that go with it.
func (c *Config) Resize(name string) error {
	for _, s := range sizes {
		if s.name != name {
			continue
		}
		m, t, o := &c.Model, &c.Train, &c.Output
		m.HiddenSize, m.IntermediateSize, m.Layers, m.Heads, m.KVHeads, m.MaxPositions = s.hidden, s.ffn, s.layers, s.heads, s.kv, s.seq
		t.BatchSize, t.SeqLen, t.GradAccum, t.LearningRate, t.WarmupSteps = s.batch, s.seq, 1, s.rate, s.warmup
		o.LogInterval, o.EvalInterval, o.SampleInterval, o.CheckpointInterval = s.logEach, s.evalEach, s.evalEach, s.checkpointsEach
		return nil
	}
	return &ConfigError{fmt.Errorf("there is no size %q%s: choose one of %s", name, suggest.DidYouMean(name, Sizes()), strings.Join(Sizes(), ", "))}
}

// mostTokensPerParameter bounds the tokens that FitSteps chooses: beyond about ten
// times the compute-optimal 20 (Hoffmann et al., arXiv 2203.15556) a larger model
// learns more in the same time.
const mostTokensPerParameter = 200

// FitSteps sets the steps of a run so that it takes about so long at a speed in
// tokens a second, for a model of so many parameters, and gives the time that they
// take: less where the model has had enough before.
func (c *Config) FitSteps(tokensPerSecond float64, parameters int64, within time.Duration) time.Duration {
	tokens := math.Min(tokensPerSecond*within.Seconds(), mostTokensPerParameter*float64(parameters))
	per := float64(c.TokensPerStep())
	c.Train.Steps = int(max(math.Floor(tokens/per), 1))
	return time.Duration(float64(c.Train.Steps) * per / tokensPerSecond * float64(time.Second))
}
