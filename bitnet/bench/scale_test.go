package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/runs/chart"
	"bitnet/bitnet/train"
	"bitnet/gpu"
	"bitnet/gpu/driver"
	"bitnet/graph"
)

// card is an adapter to plan for.
func card() gpu.Adapter {
	return gpu.Adapter{Adapter: driver.Adapter{Name: "a card", Kind: gpu.Discrete, Limits: gpu.Limits{
		BufferSize: 1<<32 - 4, BindingSize: 1<<31 - 4, OffsetAlignment: 256, StorageBindings: 8,
		WorkgroupMemory: 32 << 10, WorkgroupInvocations: 256, WorkgroupSizeX: 256, WorkgroupsPerDimension: 65535,
	}}}
}

func TestExponent(t *testing.T) {
	x := []float64{1, 2, 4, 16}
	var square, root []float64
	for _, v := range x {
		square, root = append(square, 3*v*v), append(root, 7*math.Sqrt(v))
	}
	require.InDelta(t, 2, exponent(x, square), 1e-12)
	require.InDelta(t, 0.5, exponent(x, root), 1e-12)
	require.InDelta(t, 1, exponent([]float64{1, 2, 4}, []float64{1, 3, 4}), 1e-12, "the middle point does not turn the line")
	require.Zero(t, exponent(x[:1], square[:1]))
}

func TestFindings(t *testing.T) {
	point := func(value int, ms, flops float64, activations int64) ScalePoint {
		return ScalePoint{Value: value, StepMS: ms, Flops: flops, Activations: activations}
	}
	c := newCurve(AxisContext, []ScalePoint{
		point(64, 1, 10, 100), point(128, 2, 24, 200), point(256, 6, 50, 400), point(512, 12, 110, 1600), point(1024, 0, 240, 3200),
	})
	require.Equal(t, []string{
		"from context 128 to 256 the time grows 3.0 times, its arithmetic 2.1 times",
		"from context 256 to 512 the memory of activations grows 4.0 times, the value 2.0 times",
	}, c.Findings)
	require.InDelta(t, 1.24, c.Exponents.Time, 0.01)
	require.InDelta(t, exponent([]float64{64, 128, 256, 512}, []float64{10, 24, 50, 110}), c.Exponents.Arithmetic, 1e-12, "only where the time is known")
	require.Greater(t, c.Exponents.Activations, 1.2)
	require.Empty(t, newCurve(AxisBatch, []ScalePoint{point(1, 9, 10, 100), point(2, 10, 20, 150)}).Findings, "slower growth is fine")
}

// A clock that only steps move: each takes its arithmetic in seconds, and compiling 2 s.
func TestScaleKeepsToItsBudget(t *testing.T) {
	c, err := train.Preset("simple")
	require.NoError(t, err)
	clock := time.Now()
	var asked []int
	fail := map[int]error{}
	s := scaler{adapter: card(), note: func(string) {}, now: func() time.Time { return clock }, step: func(_ context.Context, own *train.Config) (*Step, error) {
		asked = append(asked, own.Train.SeqLen)
		if err := fail[own.Train.SeqLen]; err != nil {
			return nil, err
		}
		p, err := planned(own, card())
		require.NoError(t, err)
		seconds := p.Flops / 1e9
		clock = clock.Add(2*time.Second + time.Duration(3*seconds*float64(time.Second)))
		return &Step{FastestMS: 1e3 * seconds, Profile: []graph.Timing{{Op: "attention", Time: time.Second}, {Op: "head", Time: 3 * time.Second}}}, nil
	}}
	axes := []ScaleAxis{{AxisContext, []int{64, 512, 2048, 8192, 16384}}, {AxisLayers, []int{1}}}
	measure := func(budget time.Duration) []Curve {
		asked = nil
		curves, err := s.curves(context.Background(), c, ScaleOptions{Axes: axes, Repeat: 1, Budget: budget})
		require.NoError(t, err)
		require.Len(t, curves, 2)
		require.Len(t, curves[0].Points, 5)
		return curves
	}
	began := clock
	curves := measure(time.Hour)
	require.Equal(t, []int{64, 512, 2048, 8192, 16384, 32}, asked)
	require.Empty(t, curves[0].Findings)
	require.InDelta(t, 0.25, *curves[0].Points[4].Attention, 1e-9)
	require.InDelta(t, 1, curves[0].Points[2].GFlops, 1e-9)
	whole := clock.Sub(began)

	curves = measure(whole / 2)
	require.Equal(t, []int{64, 512, 2048, 8192, 32}, asked, "each axis gets its share")
	last := curves[0].Points[4]
	require.Contains(t, last.LeftOut, "it would take about")
	require.Zero(t, last.StepMS)
	require.Nil(t, last.Attention)
	require.Greater(t, last.Memory, curves[0].Points[3].Memory, "memory is counted all the same")
	require.InDelta(t, curves[0].Exponents.Arithmetic, curves[0].Exponents.Time, 1e-9)

	fail[2048] = fmt.Errorf("allocating: %w", gpu.ErrOutOfMemory)
	curves = measure(time.Hour)
	require.Equal(t, "the adapter has not enough memory for it", curves[0].Points[2].LeftOut)
	require.Equal(t, "the point before it was left out", curves[0].Points[3].LeftOut)
	fail[64] = context.DeadlineExceeded
	curves = measure(time.Hour)
	require.Equal(t, "the budget ended before its first step", curves[0].Points[0].LeftOut)
	require.Zero(t, curves[0].Exponents.Time)
	require.Positive(t, curves[0].Exponents.Memory)
	curves = measure(time.Nanosecond)
	require.Equal(t, "the budget is spent", curves[0].Points[0].LeftOut)

	fail[64] = errors.New("the device is gone")
	_, err = s.curves(context.Background(), c, ScaleOptions{Axes: axes, Repeat: 1, Budget: time.Hour})
	require.ErrorContains(t, err, "measuring a step of 64 tokens: the device is gone")
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = s.curves(ended, c, ScaleOptions{Axes: axes, Repeat: 1, Budget: time.Hour})
	require.ErrorIs(t, err, context.Canceled)
}

// What the plans of all presets hold: activations grow linearly with the context, the
// batch and the layers, attention's included; scores of all pairs would grow with the
// square.
func TestActivationsGrowLinearly(t *testing.T) {
	for _, name := range []string{"simple", "baseline"} {
		c, err := train.Preset(name)
		require.NoError(t, err)
		for _, axis := range []ScaleAxis{
			{AxisContext, []int{1024, 2048, 4096, 8192}}, {AxisBatch, []int{1, 2, 4, 8}}, {AxisLayers, []int{1, 2, 4}}, {AxisWidth, []int{c.Model.HiddenSize, 2 * c.Model.HiddenSize}},
		} {
			var points []ScalePoint
			for _, v := range axis.Values {
				own, err := at(c, axis.Name, v)
				require.NoError(t, err)
				p, err := planned(own, card())
				require.NoError(t, err)
				p.Value = v
				points = append(points, p)
			}
			curve := newCurve(axis.Name, points)
			require.Empty(t, curve.Findings, "%s over %s", name, axis.Name)
			require.Greater(t, curve.Exponents.Activations, 0.5, "%s over %s", name, axis.Name)
			if axis.Name == AxisContext {
				require.Greater(t, curve.Exponents.Activations, 0.9, "the head's block of logits does not grow")
				require.Less(t, curve.Exponents.Activations, 1.001, name)
				require.Greater(t, exponent([]float64{4096, 8192}, []float64{points[2].Flops, points[3].Flops}), 1.1, "attention's arithmetic is more than linear")
			}
		}
	}
}

func TestScaleAxes(t *testing.T) {
	c, err := train.Preset("baseline")
	require.NoError(t, err)
	own, err := at(c, AxisWidth, 2*c.Model.HiddenSize)
	require.NoError(t, err)
	require.Equal(t, 2*c.Model.IntermediateSize, own.Model.IntermediateSize)
	require.Equal(t, c.Model.HeadDim(), own.Model.HeadDim())
	require.Equal(t, c.Model.Heads/c.Model.KVHeads, own.Model.Heads/own.Model.KVHeads)
	own, err = at(c, AxisContext, 8192)
	require.NoError(t, err)
	require.Equal(t, []int{8192, 8192, 1}, []int{own.Train.SeqLen, own.Model.MaxPositions, own.Train.BatchSize})
	_, err = at(c, AxisWidth, c.Model.HiddenSize+4)
	require.ErrorContains(t, err, "it must be a multiple of")
	_, err = at(c, "depth", 2)
	require.ErrorContains(t, err, "use context, batch, layers or width")
}

func TestScaleCharts(t *testing.T) {
	b := &Scale{Curves: []Curve{newCurve(AxisBatch, []ScalePoint{
		{Value: 1, StepMS: 2, Flops: 1e6, Activations: 1 << 20, Memory: 1 << 21}, {Value: 4, StepMS: 4, Flops: 4e6, Activations: 1 << 22, Memory: 5 << 20},
	}), newCurve(AxisLayers, []ScalePoint{{Value: 1, Activations: 1 << 20, Memory: 1 << 21}})}}
	panels := b.Charts()
	require.Len(t, panels, 2, "time and memory of the batch; a single point is no curve")
	require.Equal(t, []float64{1, 4}, panels[0].Curves[0].Y, "arithmetic goes through the last point")
	text := chart.TerminalResponses([]string{"growth"}, panels, 100, false)
	require.Contains(t, text, "FLOP ^1.00, ● time ^0.50")
	var image bytes.Buffer
	require.NoError(t, chart.WriteResponses(&image, "svg", []string{"growth"}, panels))
	require.Contains(t, image.String(), "activations ^1.00")
	require.False(t, strings.Contains(image.String(), "NaN"))
	require.Equal(t, []Figure{
		{"batch 1", "tokens/s", 0, false}, {"batch 1, memory", "MiB", 2, true}, {"batch 4", "tokens/s", 0, false}, {"batch 4, memory", "MiB", 5, true},
		{"layers 1, memory", "MiB", 2, true},
	}, b.Figures())
}
