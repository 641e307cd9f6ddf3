package bench

import (
	"context"
	"errors"
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
	Profile       []graph.Timing `json:"profile,omitempty"`
}

func (*Step) Kind() string { return "step" }

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
// replaced by random tokens, so that nothing has to be prepared. If ctx ends
// meanwhile, it returns what the steps before gave, too.
func MeasureStep(ctx context.Context, c *train.Config, dev *gpu.Device, repeat int, note func(string)) (*Step, error) {
	tmp, err := os.MkdirTemp("", "bitnet-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	own := *c // the caller's configuration stays as it is
	own.Train.BatchGrowth = ""
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
	reads := dev.Stats().Reads
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var steps, host []float64
	var stopped error
	for range max(repeat, 1) {
		if stopped = ctx.Err(); stopped != nil {
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
		return nil, stopped
	}
	runtime.ReadMemStats(&after)
	b.AllocsPerStep = float64(after.Mallocs-before.Mallocs) / float64(len(steps))
	b.ReadsPerStep = (dev.Stats().Reads - reads) / int64(len(steps))
	slices.Sort(steps)
	slices.Sort(host)
	b.StepMS, b.FastestMS, b.HostMS = steps[len(steps)/2], steps[0], host[len(host)/2]
	b.TokensPerSec = 1e3 * float64(b.Tokens) / b.StepMS
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
