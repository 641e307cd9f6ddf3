package bench

import (
	"context"

	"bitnet/gpu"
	"bitnet/graph/tune"
)

// Peak is what an adapter can do at most.
type Peak struct {
	Machine
	Rates []tune.Rate `json:"rates"`
}

// MeasurePeak measures what an adapter can do with micro-kernels.
func MeasurePeak(ctx context.Context, dev *gpu.Device) (*Peak, error) {
	rates, err := tune.MeasurePeak(ctx, dev)
	return &Peak{machineOf(dev), rates}, err
}

func (*Peak) Kind() string { return "peak" }

// Figures are the medians.
func (b *Peak) Figures() []Figure {
	var out []Figure
	for _, r := range b.Rates {
		out = append(out, Figure{r.Name, r.Unit, r.Median, r.Unit == "us"})
	}
	return out
}
