package bitnet

import (
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"time"

	"bitnet/gpu"
	"bitnet/graph"
)

// KernelTime is how long one kernel of a step took.
type KernelTime = graph.Timing

// StepBench is what BenchStep measured.
type StepBench struct {
	Experiment    string       `json:"experiment"`
	Device        string       `json:"device"`
	Driver        string       `json:"driver"`
	Tokens        int          `json:"tokens"`  // of a step
	StepMS        float64      `json:"step_ms"` // median
	TokensPerSec  float64      `json:"tokens_per_sec"`
	GFlops        float64      `json:"gflops"`
	FirstStepS    float64      `json:"first_step_s"` // compiling included
	HostMS        float64      `json:"host_ms"`      // to hand one step over
	AllocsPerStep float64      `json:"allocs_per_step"`
	ReadsPerStep  int64        `json:"reads_per_step"`
	DeviceMemory  int64        `json:"device_memory_bytes"`
	Profile       []KernelTime `json:"profile,omitempty"`
}

// BenchStep trains for a few steps in a run that is thrown away.
func BenchStep(ctx context.Context, c *Config, dev *gpu.Device, repeat int) (*StepBench, error) {
	tmp, err := os.MkdirTemp("", "bitnet-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	t, err := NewTrainer(ctx, c, dev, Start{RunsDir: tmp, RunID: "bench"}, Events{})
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := t.step(); err != nil {
		return nil, err
	}
	if err := dev.Wait(); err != nil {
		return nil, err
	}
	a := dev.Adapter()
	b := &StepBench{
		Experiment: c.Name, Device: a.Name, Driver: a.Driver, FirstStepS: time.Since(began).Seconds(),
		Tokens: c.Train.BatchSize * c.Train.SeqLen * c.Train.GradAccum, DeviceMemory: dev.Stats().Allocated,
	}
	reads := dev.Stats().Reads
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var steps, host []float64
	for range max(repeat, 1) {
		began := time.Now()
		if err := t.step(); err != nil {
			return nil, err
		}
		host = append(host, 1e3*time.Since(began).Seconds())
		if err := dev.Wait(); err != nil {
			return nil, err
		}
		steps = append(steps, 1e3*time.Since(began).Seconds())
	}
	runtime.ReadMemStats(&after)
	b.AllocsPerStep = float64(after.Mallocs-before.Mallocs) / float64(len(steps))
	b.ReadsPerStep = (dev.Stats().Reads - reads) / int64(len(steps))
	slices.Sort(steps)
	slices.Sort(host)
	b.StepMS, b.HostMS = steps[len(steps)/2], host[len(host)/2]
	b.TokensPerSec = 1e3 * float64(b.Tokens) / b.StepMS
	b.GFlops = t.Plan.FlopsPerToken() * b.TokensPerSec / 1e9
	b.Profile, err = t.program.Profile()
	if errors.Is(err, gpu.ErrNoTimestamps) {
		err = nil
	}
	return b, err
}
