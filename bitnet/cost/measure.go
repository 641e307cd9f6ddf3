package cost

import (
	"context"

	"bitnet/bitnet/bench"
	"bitnet/bitnet/train"
	"bitnet/gpu"
)

// cpuStep is the arithmetic of a step that a CPU finishes in seconds.
const cpuStep = 200e9

// Measure trains three steps of a configuration on a device, of one
// micro-batch each; on a CPU with only as many sequences as finish soon.
func Measure(ctx context.Context, c *train.Config, dev *gpu.Device) (*bench.Step, error) {
	short := *c
	short.Train.GradAccum = 1
	if a := dev.Adapter(); a.Kind == gpu.CPU {
		_, plan, err := train.Plan(&short, a)
		if err != nil {
			return nil, err
		}
		for short.Train.BatchSize > 1 && plan.FlopsPerToken()*float64(short.Train.BatchSize*short.Train.SeqLen) > cpuStep {
			short.Train.BatchSize /= 2
		}
	}
	return bench.MeasureStep(ctx, &short, dev, 3, 0, func(string) {})
}
