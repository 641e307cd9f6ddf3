package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/model"
	"bitnet/bitnet/modelfile"
	"bitnet/gpu"
	"bitnet/graph"
	"bitnet/graph/tune"
	"bitnet/shaders"
)

// GenerateOptions are what MeasureGenerate measures.
type GenerateOptions struct {
	Batches      []int // sequences at once
	PromptTokens int   // of each sequence
	Tokens       int   // new ones of each sequence
	Context      int   // tokens to make room for; 0 for just enough
	Repeat       int   // of prompts and texts
	// Budget is how long each number of sequences may take, 0 for no limit. At least
	// one prompt and one new token are measured.
	Budget time.Duration
}

// Generate is how fast a model writes.
type Generate struct {
	Machine
	Model        string        `json:"model"`
	PromptTokens int           `json:"prompt_tokens"`
	NewTokens    int           `json:"new_tokens"`
	Context      int           `json:"context"`
	Bandwidth    tune.Rate     `json:"bandwidth"` // of the adapter, measured just before
	Runs         []GenerateRun `json:"runs"`
}

// GenerateRun is one number of sequences at once; rates are medians, over all
// of them together.
type GenerateRun struct {
	Batch           int     `json:"batch"`
	PromptPerSec    float64 `json:"prompt_tokens_per_sec"`
	TokensPerSec    float64 `json:"tokens_per_sec"`
	StepMS          float64 `json:"step_ms"`           // for a token of each sequence
	TernaryBytes    int64   `json:"ternary_bytes"`     // that a step reads: projections and their scales
	FloatBytes      int64   `json:"float_bytes"`       // head, in whichever form it is read, and norms
	CacheBytes      int64   `json:"cache_bytes"`       // keys and values, at the mean length
	BytesPerToken   float64 `json:"bytes_per_token"`   // all three, for one token of one sequence
	GBPerSec        float64 `json:"gb_per_sec"`        // that rate of tokens times those bytes
	ShareOfMeasured float64 `json:"share_of_measured"` // of the bandwidth
	leftOut         string
}

func (*Generate) Kind() string { return "generate" }

// LeftOut says how many new tokens were measured, if there was no time for all.
func (b *Generate) LeftOut() string {
	for _, r := range b.Runs {
		if r.leftOut != "" {
			return r.leftOut
		}
	}
	return ""
}

// Figures are the rates of each number of sequences.
func (b *Generate) Figures() []Figure {
	var out []Figure
	for _, r := range b.Runs {
		out = append(out,
			Figure{fmt.Sprintf("prompt, %d at once", r.Batch), "tokens/s", r.PromptPerSec, false},
			Figure{fmt.Sprintf("new tokens, %d at once", r.Batch), "tokens/s", r.TokensPerSec, false})
	}
	return out
}

// NewRandomModel is a model for use with random weights, to measure with.
func NewRandomModel(c modelfile.Config, dev *gpu.Device) (*model.Model, error) {
	m, err := model.New(c, dev.Adapter(), graph.ForInference, "")
	if err != nil {
		return nil, err
	}
	if err := m.Allocate(dev); err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, p := range m.Params.All() {
		if err := randomize(p, rng); err != nil {
			m.Release()
			return nil, err
		}
	}
	return m, nil
}

func randomize(p *graph.Param, rng *rand.Rand) error {
	if !p.IsTernary() {
		values := make([]float32, p.Rows*p.Cols)
		for i := range values {
			values[i] = 1
			if !p.IsVector() {
				values[i] = float32(modelfile.InitialStd * rng.NormFloat64())
			}
		}
		return p.Write(graph.Master, values)
	}
	for i, part := range p.Parts {
		codes := make([]uint32, part.Rows*shaders.Words16(p.Cols))
		for j := range codes {
			high, low := rng.Uint32(), rng.Uint32()
			low &= 0x55555555
			codes[j] = low | (high & 0xaaaaaaaa &^ (low << 1)) // 0, 1 or 2, never 3
		}
		if err := p.WriteTernary(i, codes, modelfile.InitialStd); err != nil {
			return err
		}
	}
	return nil
}

// MeasureGenerate measures how fast a model on a device reads prompts and writes
// texts, greedily, with the choice of each token on the CPU.
func MeasureGenerate(ctx context.Context, name string, m *model.Model, dev *gpu.Device, o GenerateOptions) (*Generate, error) {
	switch need := o.PromptTokens + o.Tokens; {
	case o.PromptTokens < 1 || o.Tokens < 1 || o.Repeat < 1 || len(o.Batches) == 0 || slices.Min(o.Batches) < 1:
		return nil, fmt.Errorf("nothing to measure: ask for at least one sequence, one token of a prompt, one new token and one repeat")
	case o.Context == 0:
		o.Context = need
	case o.Context < need:
		return nil, fmt.Errorf("a context of %d tokens is too short for prompts of %d tokens and %d new ones", o.Context, o.PromptTokens, o.Tokens)
	}
	b := &Generate{Machine: machineOf(dev), Model: name, PromptTokens: o.PromptTokens, NewTokens: o.Tokens, Context: o.Context}
	var err error
	if b.Bandwidth, err = tune.MeasureBandwidth(ctx, dev, o.Budget/3); err != nil {
		return nil, err
	}
	for _, n := range o.Batches {
		r, err := measureGenerate(ctx, m, n, o)
		if err != nil {
			return nil, fmt.Errorf("%d sequences at once: %w", n, err)
		}
		r.ShareOfMeasured = r.GBPerSec / b.Bandwidth.Median
		b.Runs = append(b.Runs, r)
	}
	return b, nil
}

func measureGenerate(ctx context.Context, m *model.Model, n int, o GenerateOptions) (GenerateRun, error) {
	r := GenerateRun{Batch: n}
	g, err := infer.NewGenerator(m, n, o.Context)
	if err != nil {
		return r, err
	}
	defer g.Release()
	rng := rand.New(rand.NewPCG(3, 4))
	prompts := make([][]uint32, n)
	for i := range prompts {
		for range o.PromptTokens {
			prompts[i] = append(prompts[i], uint32(rng.IntN(m.Config.VocabSize)))
		}
	}
	start := time.Now()
	over := func() bool { return o.Budget > 0 && time.Since(start) > o.Budget }
	var prompt, step []float64
	write := func(tokens int) error { // one text of each sequence
		feed := slices.Clone(prompts)
		for i := range n {
			g.Truncate(i, 0)
		}
		for at := range tokens + 1 {
			if err := ctx.Err(); err != nil {
				return err
			}
			began := time.Now()
			logits, err := g.Feed(ctx, feed)
			if err != nil {
				return err
			}
			for i := range feed {
				feed[i] = []uint32{infer.Greedy(i, logits[i])}
			}
			took := time.Since(began).Seconds()
			if at == 0 {
				prompt = append(prompt, took)
				continue
			}
			if step = append(step, took); over() {
				break
			}
		}
		return nil
	}
	if err := write(1); err != nil { // compiles
		return r, err
	}
	prompt, step = nil, nil
	for range o.Repeat {
		if err := write(o.Tokens); err != nil {
			return r, err
		}
		if over() {
			break
		}
	}
	if all := o.Repeat * o.Tokens; len(step) < all {
		r.leftOut = fmt.Sprintf("the figures are those of %d of %d new tokens", len(step), all)
	}
	slices.Sort(prompt)
	slices.Sort(step)
	seconds := step[len(step)/2]
	r.StepMS = 1e3 * seconds
	r.TokensPerSec = float64(n) / seconds
	r.PromptPerSec = float64(n*o.PromptTokens) / prompt[len(prompt)/2]

	for _, p := range m.Params.All() {
		if p.IsTernary() {
			r.TernaryBytes += 4 * int64(p.Rows) * int64(shaders.Words16(p.Cols)+1)
		} else {
			r.FloatBytes += p.ReadBytes()
		}
	}
	h := m.Heads()
	r.CacheBytes = int64(n) * int64(m.Config.Layers) * 2 * 4 * int64(h.KV*h.Dim) * int64(o.PromptTokens+o.Tokens/2)
	all := float64(r.TernaryBytes + r.FloatBytes + r.CacheBytes)
	r.BytesPerToken = all / float64(n)
	r.GBPerSec = all / seconds / 1e9
	return r, nil
}
