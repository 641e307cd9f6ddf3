// Package cost estimates what a training run takes: arithmetic, memory, time
// and money. docs/cost.md explains its formulas.
package cost

import (
	"fmt"
	"math"

	"bitnet/bitnet/task/catalog"
	"bitnet/bitnet/train"
	"bitnet/data/corpus"
	"bitnet/gpu"
	"bitnet/gpu/driver"
)

// Part is one share of the memory, in bytes.
type Part struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
}

// Run is a training run as the formulas see it.
type Run struct {
	Name       string  `json:"name"`
	Params     int64   `json:"parameters"`
	Tokens     int64   `json:"tokens"`
	TokenFlops float64 `json:"flops_per_token"` // forward and backward
	Memory     []Part  `json:"memory"`          // of a step
	// Beside is what samples and evaluations hold beside the steps, from the first on.
	Beside []Part `json:"memory_beside,omitempty"`
	// Known only of a configuration; otherwise 0.
	StepTokens int64 `json:"tokens_per_step,omitempty"`
	Dispatches int   `json:"dispatches_per_step,omitempty"`
	// UpdateFlops is the arithmetic of matrix products of a step's update, with Muon.
	UpdateFlops float64 `json:"update_flops,omitempty"`
	// GradAccum are the micro-batches of a step; Buckets says in how many parts
	// gradients leave for other workers, LastBucket what share is in the last.
	GradAccum  int     `json:"grad_accum,omitempty"`
	Buckets    int     `json:"buckets,omitempty"`
	LastBucket float64 `json:"last_bucket,omitempty"`
	// Passes is about how often the run reads its data set; 0 if its size is unknown.
	Passes float64 `json:"passes,omitempty"`
}

// DenseFlops is 6N: two operations for each parameter of a token forward, four
// backward (Kaplan et al., 2020, without attention).
func DenseFlops(params int64) float64 { return 6 * float64(params) }

// ChinchillaTokens is the compute-optimal number of tokens: about 20 per
// parameter (Hoffmann et al., 2022).
func ChinchillaTokens(params int64) int64 { return 20 * params }

// StateBytes is the memory that does not depend on the batch: weights,
// gradients and AdamW's two moments in float32, and the ternary weights in two bits.
func StateBytes(params int64) []Part {
	return []Part{
		{"parameters", 4 * params}, {"gradients", 4 * params}, {"optimizer", 8 * params}, {"ternary weights", params / 4},
	}
}

// OfParams is a run of which only the size is known: no activations, 6N.
func OfParams(params, tokens int64) Run {
	return Run{
		Name: "a model", Params: params, Tokens: tokens, TokenFlops: DenseFlops(params), Memory: StateBytes(params),
	}
}

// Card is an adapter to plan for where none is available: a GPU that binds 2 GiB at once.
func Card() gpu.Adapter {
	return gpu.Adapter{Adapter: driver.Adapter{
		Name: "a card", Kind: gpu.Discrete,
		Limits: gpu.Limits{
			BufferSize: 1<<32 - 4, BindingSize: 1<<31 - 4, OffsetAlignment: 256, StorageBindings: 8,
			WorkgroupMemory: 32 << 10, WorkgroupInvocations: 256, WorkgroupSizeX: 256, WorkgroupsPerDimension: 65535,
		},
	}}
}

// OfConfig plans a run for an adapter and counts what the plan holds. Tokens 0
// means all steps of the configuration.
func OfConfig(c *train.Config, a gpu.Adapter, tokens int64) (Run, error) {
	m, plan, err := train.Plan(c, a)
	if err != nil {
		return Run{}, err
	}
	t := c.Train
	r := Run{
		Name: c.Name, Params: m.Params.Count(), Tokens: tokens,
		TokenFlops: plan.FlopsPerToken(), Dispatches: plan.Dispatches(t.GradAccum), UpdateFlops: plan.UpdateFlops(),
		StepTokens: c.Tokens() / int64(t.Steps), // the mean, where steps grow
	}
	if tokens == 0 {
		r.Tokens = c.Tokens()
	}
	r.GradAccum, r.Buckets = t.GradAccum, train.Buckets(r.Params)
	ranges := plan.Gradients(r.Buckets)
	for _, g := range ranges {
		if g.Segment == ranges[len(ranges)-1].Segment {
			r.LastBucket += float64(g.Elements) / float64(r.Params)
		}
	}
	for _, x := range plan.Memory() {
		r.Memory = append(r.Memory, Part{x.Arena, x.Bytes})
	}
	beside, err := train.Beside(c, m, plan)
	if err != nil {
		return Run{}, err
	}
	for _, x := range beside {
		r.Beside = append(r.Beside, Part{x.Arena, x.Bytes})
	}
	if p, ok := catalog.Known(c.Data.Source); ok {
		const uint16s = 1 << 16 // a vocabulary whose ids take two bytes
		r.Passes = float64(r.Tokens) / float64(corpus.Needs{Text: p.Text}.Shards(uint16s)/2)
	}
	return r, nil
}

// Flops are those of the whole run.
func (r Run) Flops() float64 { return r.TokenFlops * float64(r.Tokens) }

// Bytes is the memory of a step.
func (r Run) Bytes() int64 { return sum(r.Memory) }

// MostBytes is the memory of the run, with samples and evaluations.
func (r Run) MostBytes() int64 { return r.Bytes() + sum(r.Beside) }

func sum(parts []Part) int64 {
	var n int64
	for _, p := range parts {
		n += p.Bytes
	}
	return n
}

// Shares of a card's peak that a step is assumed to reach. The PyTorch trainer
// that bitnet re-creates (dcgrigsby/bitnet) reached 0.55 of an RTX 3060's float32;
// matrix units do only the products, and everything else waits for memory.
const (
	F32Share    = 0.35
	MatrixShare = 0.12
)

const (
	updateBytes    = 40.25 // that norm, AdamW and quantisation move per parameter
	bandwidthShare = 0.7   // of the peak, for such kernels
	dispatchTime   = 5e-6  // seconds from one kernel to the next
)

// Estimate is what a run takes on a device.
type Estimate struct {
	Device       string  `json:"device"`
	TokensPerSec float64 `json:"tokens_per_sec"`
	Seconds      float64 `json:"seconds"`
	Fits         bool    `json:"fits"` // the run's memory, in that of the card; true where that is not known
}

// On estimates a run on a card of which a share of the peak is reached: of its
// matrix units with matrix, else of its float32 shaders.
func (r Run) On(d Device, matrix bool, share float64) (Estimate, error) {
	peak := d.F32
	if matrix {
		peak = d.F16Matrix
	}
	if peak == 0 {
		return Estimate{}, fmt.Errorf("%s has no matrix units in the table: leave out --matrix", d.Name)
	}
	perToken := r.TokenFlops / (peak * 1e12 * share)
	if r.StepTokens > 0 {
		update := updateBytes * float64(r.Params) / (bandwidthShare * d.Bandwidth * 1e9)
		products := r.UpdateFlops / (d.F32 * 1e12 * F32Share)
		perToken += (update + products + dispatchTime*float64(r.Dispatches)) / float64(r.StepTokens)
	}
	e := r.at(d.Name, 1/perToken)
	e.Fits = float64(r.MostBytes()) <= d.Memory*1e9
	return e, nil
}

func (r Run) at(device string, tokensPerSec float64) Estimate {
	return Estimate{Device: device, TokensPerSec: tokensPerSec, Seconds: float64(r.Tokens) / tokensPerSec, Fits: true}
}

// Money is the price of an estimate at a price per hour.
func (e Estimate) Money(perHour float64) float64 { return e.Seconds / 3600 * perHour }

// Advice says what the ratio of tokens to parameters means.
func Advice(params, tokens int64) string {
	ratio := float64(tokens) / float64(params)
	switch {
	case math.IsNaN(ratio) || ratio <= 0:
		return ""
	case ratio < 10:
		return "fewer than the compute-optimal 20 or so: a smaller model trained for longer would be better"
	case ratio <= 40:
		return "compute-optimal is about 20"
	case ratio <= 400:
		return "more than the compute-optimal 20 or so: right for a small model that must be cheap to use"
	}
	return "far more than the compute-optimal 20 or so: gains are slow, and more than about four passes over the same text bring little"
}
