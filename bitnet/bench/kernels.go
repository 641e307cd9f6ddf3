package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/task/catalog"
	"bitnet/bitnet/train"
	"bitnet/data"
	"bitnet/gpu"
	"bitnet/graph/tune"
)

// Kernels is what each kernel of a training step costs.
type Kernels struct {
	Machine
	Experiment string        `json:"experiment"`
	BatchSize  int           `json:"batch_size"`
	SeqLen     int           `json:"seq_len"`
	GradAccum  int           `json:"grad_accum"`
	Rates      []tune.Rate   `json:"rates"` // what the adapter can do, measured just before
	Kernels    []KernelShare `json:"kernels"`
	Untimed    int           `json:"untimed,omitempty"` // kernels with less work, for which there was no time
}

// KernelShare is a kernel and the share that it reaches of what the adapter can do.
type KernelShare struct {
	tune.KernelCost
	// Limit is what bounds the kernel, "arithmetic" or "bandwidth": what would
	// take longer at the measured rates.
	Limit string  `json:"limit"`
	Share float64 `json:"share"` // of that rate
}

func (*Kernels) Kind() string { return "kernels" }

// LeftOut says how many kernels were not timed.
func (b *Kernels) LeftOut() string {
	if b.Untimed == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d kernels were not timed, those with the least work", b.Untimed, b.Untimed+len(b.Kernels))
}

// Figures are the milliseconds that each kernel takes in a step.
func (b *Kernels) Figures() []Figure {
	sum := "sum of all kernels"
	if b.Untimed > 0 { // it compares with no other sum
		sum = "sum of the timed kernels"
	}
	out := []Figure{{sum, "ms per step", 1e3 * b.StepSeconds(), true}}
	for _, k := range b.Kernels {
		out = append(out, Figure{k.Op + ": " + k.Kernel, "ms per call", 1e3 * k.Seconds, true})
	}
	return out
}

// StepSeconds is the time of all kernels of a step.
func (b *Kernels) StepSeconds() float64 {
	var sum float64
	for _, k := range b.Kernels {
		sum += float64(k.Calls) * k.Seconds
	}
	return sum
}

// MeasureKernels times the kernels of a training step one by one. With a budget,
// 0 for none, it takes a third of it for the rates, and at least half of it for the
// kernels, whatever compiling the step takes. If ctx ends meanwhile, it returns
// those that were timed before, too.
func MeasureKernels(ctx context.Context, c *train.Config, dev *gpu.Device, budget time.Duration, note func(string)) (*Kernels, error) {
	began := time.Now()
	b := &Kernels{Machine: machineOf(dev), Experiment: c.Name, BatchSize: c.Train.BatchSize, SeqLen: c.Train.SeqLen, GradAccum: c.Train.GradAccum}
	m, plan, err := train.Plan(c, dev.Adapter())
	if err != nil {
		return nil, err
	}
	variants, err := train.ChooseTuning(ctx, c, dev, plan, note)
	if err != nil {
		return nil, err
	}
	if err := plan.Use(variants.Products.Variants()); err != nil {
		return nil, err
	}
	if b.Rates, err = tune.MeasurePeak(ctx, dev, budget/3); err != nil {
		return nil, err
	}
	if err := m.Allocate(dev); err != nil {
		return nil, err
	}
	defer m.Release()
	if err := m.Initialize(c.Train.Seed); err != nil {
		return nil, err
	}
	program, err := plan.Compile(dev)
	if err != nil {
		return nil, err
	}
	defer program.Release()
	rng := rand.New(rand.NewPCG(c.Train.Seed, 0))
	batch := data.NewBatch(c.Train.BatchSize, c.Train.SeqLen)
	if catalog.Packed(c.Data.Source) { // one document a row, which takes the most time
		batch = data.NewPackedBatch(c.Train.BatchSize, c.Train.SeqLen)
	}
	for i := range batch.Inputs {
		batch.Inputs[i] = uint32(rng.IntN(c.Model.VocabSize))
	}
	copy(batch.Targets, batch.Inputs)
	if err := infer.LoadBatch(program, batch, c.Model.VocabSize); err != nil {
		return nil, err
	}
	left := max(budget-time.Since(began), budget/2)
	costs, untimed, err := tune.Kernels(ctx, dev, program, c.Train.GradAccum, left)
	b.Untimed = untimed
	for _, k := range costs {
		b.Kernels = append(b.Kernels, share(k, b.Rates))
	}
	if err != nil {
		err = fmt.Errorf("timing the kernels of %s: %w", c.Name, err)
	}
	return b, err
}

// share compares a kernel with the rates of its adapter.
func share(k tune.KernelCost, rates []tune.Rate) KernelShare {
	var arithmetic, bandwidth float64 // per second
	matrix := func(component string) {
		for _, r := range rates {
			if strings.HasPrefix(r.Name, tune.PeakMatrix) && strings.Contains(r.Name, component+" to") {
				arithmetic = max(arithmetic, 1e9*r.Median)
			}
		}
	}
	rate := func(name string) float64 {
		for _, r := range rates {
			if r.Name == name {
				return 1e9 * r.Median
			}
		}
		return 0
	}
	switch {
	case k.Family == "matmul/matrix" && strings.HasSuffix(k.Kernel, " i8"):
		matrix("i8")
	case k.Family == "matmul/matrix":
		matrix("f16")
	case k.Family == "matmul/integer_table" || k.Family == "matmul/integer_columns": // one product of integers serves two tokens
		arithmetic = 2 * rate(tune.PeakInt)
	}
	if arithmetic == 0 {
		arithmetic = rate(tune.PeakFloat)
	}
	bandwidth = max(rate(tune.PeakRead), rate(tune.PeakCopy))
	s := KernelShare{KernelCost: k, Limit: "bandwidth"}
	least := float64(k.Bytes) / max(bandwidth, 1)
	if t := k.Flops / max(arithmetic, 1); t > least {
		s.Limit, least = "arithmetic", t
	}
	s.Share = least / k.Seconds
	return s
}
