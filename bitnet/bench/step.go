package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"bitnet/bitnet/task/catalog"
	"bitnet/bitnet/train"
	"bitnet/gpu"
	"bitnet/graph"
)

// Step is what MeasureStep measured.
type Step struct {
	Machine
	Experiment    string         `json:"experiment"`
	BatchSize     int            `json:"batch_size"`
	SeqLen        int            `json:"seq_len"`
	GradAccum     int            `json:"grad_accum"`
	Tokens        int            `json:"tokens"`  // of a step
	StepMS        float64        `json:"step_ms"` // median
	FastestMS     float64        `json:"fastest_ms"`
	TokensPerSec  float64        `json:"tokens_per_sec"`
	GFlops        float64        `json:"gflops"`
	FirstStepS    float64        `json:"first_step_s"` // compiling included
	HostMS        float64        `json:"host_ms"`      // to hand one step over
	AllocsPerStep float64        `json:"allocs_per_step"`
	ReadsPerStep  int64          `json:"reads_per_step"`
	DeviceMemory  int64          `json:"device_memory_bytes"`
	PeakMemory    int64          `json:"peak_memory_bytes"` // the most since the device was opened
	Profile       []graph.Timing `json:"profile,omitempty"`
	leftOut       string
}

func (*Step) Kind() string { return "step" }

// LeftOut says how many steps were measured, if there was no time for all.
func (b *Step) LeftOut() string { return b.leftOut }

// Figures are the medians and what a step costs.
func (b *Step) Figures() []Figure {
	return []Figure{
		{"training", "tokens/s", b.TokensPerSec, false},
		{"arithmetic", "GFLOP/s", b.GFlops, false},
		{"fastest step", "ms", b.FastestMS, true},
		{"first step", "s", b.FirstStepS, true},
		{"host", "ms per step", b.HostMS, true},
		{"device memory", "MiB", float64(b.DeviceMemory) / (1 << 20), true},
	}
}

// MeasureStep trains for a few steps in a run that is thrown away. Text is
// replaced by random tokens, so that nothing has to be prepared. With a budget, 0
// for none, it starts no further step after it. If ctx ends meanwhile, it returns
// what the steps before gave, too.
func MeasureStep(ctx context.Context, c *train.Config, dev *gpu.Device, repeat int, budget time.Duration, note func(string)) (*Step, error) {
	start := time.Now()
	tmp, err := os.MkdirTemp("", "bitnet-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	own := *c // the caller's configuration stays as it is
	own.Train.BatchGrowth, own.Train.QuantizeRamp = "", 0
	k, _, err := catalog.Find(c.Data.Source)
	if err != nil {
		return nil, err
	}
	if k.Prepared {
		if own.Data.Source, err = catalog.Random(tmp, 4*int(c.TokensPerStep())+4*c.Train.BatchSize*c.Train.GradAccum, c.Model.VocabSize, c.Train.Seed); err != nil {
			return nil, err
		}
		// Random tokens have no epochs and no validation loss.
		own.Train.Epochs, own.Output.KeepBest, own.Train.EarlyStopping = 0, false, 0
	}
	job, err := train.Prepare(ctx, &own, train.Start{RunsDir: tmp, RunID: "bench"}, train.Events{Note: note})
	if err != nil {
		return nil, err
	}
	t, err := job.Begin(ctx, dev)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	began := time.Now()
	if err := t.Advance(); err != nil {
		return nil, err
	}
	if err := dev.Wait(); err != nil {
		return nil, err
	}
	b := &Step{
		Machine: machineOf(dev), Experiment: c.Name, FirstStepS: time.Since(began).Seconds(),
		BatchSize: c.Train.BatchSize, SeqLen: c.Train.SeqLen, GradAccum: c.Train.GradAccum,
		Tokens: c.Train.BatchSize * c.Train.SeqLen * c.Train.GradAccum, DeviceMemory: dev.Stats().Allocated,
	}
	var end time.Time
	if budget > 0 {
		end = start.Add(budget)
	}
	stopped, err := b.time(ctx, t, dev, max(repeat, 1), end)
	if err != nil {
		return nil, err
	}
	if b.StepMS == 0 {
		return nil, stopped
	}
	b.GFlops = t.Plan.FlopsPerToken() * b.TokensPerSec / 1e9
	if stopped != nil {
		return b, stopped
	}
	b.Profile, err = t.Profile()
	if errors.Is(err, gpu.ErrNoTimestamps) {
		err = nil
	}
	return b, err
}

// time times steps until all are done, until end, unless that is zero, or until ctx
// ends, and says of the last that it stopped.
func (b *Step) time(ctx context.Context, t *train.Trainer, dev *gpu.Device, repeat int, end time.Time) (stopped, err error) {
	reads := dev.Stats().Reads
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var steps, host []float64
	for i := range repeat {
		if stopped = ctx.Err(); stopped != nil {
			break
		}
		if i > 0 && !end.IsZero() && time.Now().After(end) {
			b.leftOut = fmt.Sprintf("the figures are those of %d of %d steps", i, repeat)
			break
		}
		began := time.Now()
		if err := t.Advance(); err != nil {
			return nil, err
		}
		host = append(host, 1e3*time.Since(began).Seconds())
		if err := dev.Wait(); err != nil {
			return nil, err
		}
		steps = append(steps, 1e3*time.Since(began).Seconds())
	}
	if len(steps) == 0 {
		return stopped, nil
	}
	runtime.ReadMemStats(&after)
	b.AllocsPerStep = float64(after.Mallocs-before.Mallocs) / float64(len(steps))
	b.PeakMemory = dev.Stats().Peak
	b.ReadsPerStep = (dev.Stats().Reads - reads) / int64(len(steps))
	slices.Sort(steps)
	slices.Sort(host)
	b.StepMS, b.FastestMS, b.HostMS = steps[len(steps)/2], steps[0], host[len(host)/2]
	b.TokensPerSec = 1e3 * float64(b.Tokens) / b.StepMS
	return stopped, nil
}
