package bitnet

import (
	"context"

	"bitnet/gpu"
	"bitnet/graph"
)

// Rate is one thing that an adapter can do.
type Rate = graph.Rate

// PeakBench is what an adapter can do at most.
type PeakBench struct {
	Machine
	Rates []Rate `json:"rates"`
}

// BenchPeak measures what an adapter can do with micro-kernels.
func BenchPeak(ctx context.Context, dev *gpu.Device) (*PeakBench, error) {
	rates, err := graph.MeasurePeak(ctx, dev)
	return &PeakBench{machineOf(dev), rates}, err
}

func (*PeakBench) kind() string { return "peak" }

// Figures are the medians.
func (b *PeakBench) Figures() []Figure {
	var out []Figure
	for _, r := range b.Rates {
		out = append(out, Figure{r.Name, r.Unit, r.Median, r.Unit == "us"})
	}
	return out
}
