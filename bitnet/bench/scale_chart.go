package bench

import (
	"fmt"

	"bitnet/bitnet/runs/chart"
)

// Charts are the panels of a Scale, both axes logarithmic: for each axis the time of
// a step next to its arithmetic, which is drawn through the last measured point, and
// the memory; behind each name stands its exponent.
func (b *Scale) Charts() []chart.Panel {
	var panels []chart.Panel
	for _, c := range b.Curves {
		panels = append(panels, c.timePanel()...)
		panels = append(panels, c.memoryPanel()...)
	}
	return panels
}

func (c Curve) timePanel() []chart.Panel {
	var x, time, flops []float64
	for _, p := range c.Points {
		if p.measured() {
			x, time, flops = append(x, float64(p.Value)), append(time, p.StepMS), append(flops, p.Flops)
		}
	}
	if len(x) < 2 {
		return nil
	}
	scale := time[len(time)-1] / flops[len(flops)-1]
	for i := range flops {
		flops[i] *= scale
	}
	return chart.LogLog("ms", c.Axis,
		chart.Curve{Label: fmt.Sprintf("FLOP ^%.2f", c.Exponents.Arithmetic), Shade: 1, X: x, Y: flops},
		chart.Curve{Label: fmt.Sprintf("time ^%.2f", c.Exponents.Time), Style: chart.Dots, X: x, Y: time})
}

func (c Curve) memoryPanel() []chart.Panel {
	var x, activations, all []float64
	for _, p := range c.Points {
		x = append(x, float64(p.Value))
		activations = append(activations, float64(p.Activations)/(1<<20))
		all = append(all, float64(p.Memory)/(1<<20))
	}
	return chart.LogLog("MiB", c.Axis,
		chart.Curve{Label: fmt.Sprintf("activations ^%.2f", c.Exponents.Activations), Style: chart.Dots, X: x, Y: activations},
		chart.Curve{Label: fmt.Sprintf("whole step ^%.2f", c.Exponents.Memory), Shade: 1, X: x, Y: all})
}
