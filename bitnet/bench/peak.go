package bench

import (
	"context"
	"strings"
	"time"

	"bitnet/gpu"
	"bitnet/graph/tune"
)

// Peak is what an adapter can do at most.
type Peak struct {
	Machine
	Rates []tune.Rate `json:"rates"`
}

// MeasurePeak measures what an adapter can do with micro-kernels. With a budget, 0
// for none, it leaves out layouts of them on a slow adapter.
func MeasurePeak(ctx context.Context, dev *gpu.Device, budget time.Duration) (*Peak, error) {
	rates, err := tune.MeasurePeak(ctx, dev, budget)
	return &Peak{machineOf(dev), rates}, err
}

func (*Peak) Kind() string { return "peak" }

// LeftOut names the rates of which not all layouts were measured.
func (b *Peak) LeftOut() string {
	var names []string
	for _, r := range b.Rates {
		if r.Cut {
			names = append(names, r.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "not all layouts were measured of: " + strings.Join(names, "; ")
}

// Figures are the medians.
func (b *Peak) Figures() []Figure {
	var out []Figure
	for _, r := range b.Rates {
		out = append(out, Figure{r.Name, r.Unit, r.Median, r.Unit == "us"})
	}
	return out
}
