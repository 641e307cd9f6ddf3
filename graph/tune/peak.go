package tune

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"bitnet/gpu"
	"bitnet/graph"
	"bitnet/shaders"
	"bitnet/shaders/probe"
)

// Rate is one thing that an adapter can do, measured.
type Rate struct {
	Name   string  `json:"name"`
	Unit   string  `json:"unit"`             // "GFLOP/s", "GOP/s", "GB/s" or "us"
	Median float64 `json:"median,omitempty"` // of the repeats
	Best   float64 `json:"best,omitempty"`
	How    string  `json:"how,omitempty"` // the layout of the kernel that was fastest, or why there is no figure
	Cut    bool    `json:"cut,omitempty"` // there was no time for all layouts
}

// Names of the rates.
const (
	PeakFloat     = "f32 multiply and add"
	PeakInt       = "i32 multiply and add"
	PeakDot       = "int8 dot product, packed"
	PeakMatrix    = "matrix units" // followed by a shape
	PeakRead      = "read"
	PeakCopy      = "copy"
	PeakDispatch  = "dispatch of nothing, of 1,000"
	PeakRoundtrip = "run and read 4 bytes"
)

// MeasurePeak measures what an adapter can do with micro-kernels of our own,
// in a few seconds: arithmetic, bandwidth, dispatch and round trip. Each rate is
// that of the fastest of a few layouts. A slow adapter needs longer: with a budget,
// 0 for none, it leaves out repeats and layouts, but gives each rate. With an error,
// it returns what it measured before.
func MeasurePeak(ctx context.Context, dev *gpu.Device, budget time.Duration) ([]Rate, error) {
	p := newPeak(dev)
	p.stopwatch = p.limited(budget)
	return p.all(ctx)
}

// MeasureBandwidth measures only reading and copying, and returns the faster. With
// a budget, 0 for none, it leaves out what MeasurePeak does.
func MeasureBandwidth(ctx context.Context, dev *gpu.Device, budget time.Duration) (Rate, error) {
	p := newPeak(dev)
	p.stopwatch = p.limited(budget)
	if err := p.memory(ctx, p.stopwatch); err != nil {
		return Rate{}, fmt.Errorf("measuring the adapter's bandwidth: %w", err)
	}
	return slices.MaxFunc(p.rates, func(a, b Rate) int { return cmp.Compare(a.Median, b.Median) }), nil
}

type peak struct {
	stopwatch
	target shaders.Target
	bytes  int64 // of buffers that no cache holds
	small  *gpu.Buffer
	rates  []Rate
}

func newPeak(dev *gpu.Device) *peak {
	limits := dev.Adapter().Limits
	p := &peak{stopwatch: stopwatch{dev: dev, span: 50 * time.Millisecond, repeats: 5}, target: graph.TargetOf(dev.Adapter())}
	p.bytes = min(512<<20, limits.BindingSize, limits.BufferSize)
	if p.target != shaders.GPU {
		p.bytes = min(p.bytes, 128<<20)
	}
	return p
}

func (p *peak) all(ctx context.Context) ([]Rate, error) {
	var err error
	if p.small, err = p.dev.NewBuffer("peak", 16); err != nil {
		return nil, err
	}
	defer p.small.Release()
	parts := []func(context.Context, stopwatch) error{p.arithmetic, p.matrix, p.memory, p.latency}
	for i, measure := range parts {
		if err := measure(ctx, p.part(len(parts)-i)); err != nil {
			return p.rates, fmt.Errorf("measuring what the adapter can do: %w", err)
		}
	}
	return p.rates, nil
}

// fastest adds the rate of the fastest of some kernels; scale turns its Flops a
// second into the unit. Layouts for which there is no time are left out, but for
// the first.
func (p *peak) fastest(ctx context.Context, w stopwatch, name, unit string, layouts []shaders.Source, buffers ...*gpu.Buffer) error {
	r := Rate{Name: name, Unit: unit}
	for i, src := range layouts {
		if err := ctx.Err(); err != nil {
			return err
		}
		if r.Cut = i > 0 && w.over(); r.Cut {
			break
		}
		d, err := w.dispatch(src, buffers...)
		if err != nil {
			return err
		}
		times, err := w.part(len(layouts) - i).seconds(d)
		if err != nil {
			return err
		}
		median := src.Flops / times[len(times)/2] / 1e9
		if median > r.Median {
			r.Median, r.Best, r.How = median, src.Flops/times[0]/1e9, src.Label
		}
	}
	p.rates = append(p.rates, r)
	return nil
}

func (p *peak) arithmetic(ctx context.Context, w stopwatch) error {
	groups := 4096
	if p.target != shaders.GPU {
		groups = 64
	}
	has := p.dev.Adapter().Has
	rates := []struct {
		name, unit string
		kinds      []string
		factor     uint32
	}{
		{PeakFloat, "GFLOP/s", []string{"fma", "mul+add"}, math.Float32bits(0.5)},
		{PeakInt, "GOP/s", []string{"i32"}, 3},
		{PeakDot, "GOP/s", []string{"dot"}, 0x01ff0201},
	}
	for i, x := range rates {
		if x.name == PeakDot && !has(gpu.PackedDot) {
			p.rates = append(p.rates, Rate{Name: x.name, Unit: x.unit, How: "not with this driver"})
			continue
		}
		word := binary.LittleEndian.AppendUint32(nil, x.factor)
		if err := p.small.Write(0, word); err != nil {
			return err
		}
		var layouts []shaders.Source
		for _, kind := range x.kinds {
			for _, chains := range []int{2, 4, 8} {
				layouts = append(layouts, probe.Arithmetic{Target: p.target, Kind: kind, Chains: chains, Groups: groups}.Source())
			}
		}
		if err := p.fastest(ctx, w.part(len(rates)-i), x.name, x.unit, layouts, p.small); err != nil {
			return err
		}
	}
	return nil
}

func (p *peak) matrix(ctx context.Context, w stopwatch) error {
	units := graph.UnitsOf(p.dev.Adapter())
	measured := 0
	for i, s := range units.Shapes {
		groups := 2048
		if p.target != shaders.GPU {
			groups = 4
		}
		src, ok := probe.Matrix{Shape: s, Groups: groups}.Source(units)
		if !ok {
			continue
		}
		unit, factors := "GFLOP/s", []uint32{math.Float32bits(0.5), math.Float32bits(-0.5)}
		if s.Result == "i32" {
			unit, factors = "GOP/s", []uint32{0x01ff0201, 0xff010302}
		}
		if err := p.small.Write(0, gpu.Bytes(factors)); err != nil {
			return err
		}
		if err := p.fastest(ctx, w.part(len(units.Shapes)-i), fmt.Sprintf("%s, %v", PeakMatrix, s), unit, []shaders.Source{src}, p.small); err != nil {
			return err
		}
		p.rates[len(p.rates)-1].How = "" // there is one layout
		measured++
	}
	if measured == 0 {
		p.rates = append(p.rates, Rate{Name: PeakMatrix, Unit: "GFLOP/s", How: "not with this driver"})
	}
	return nil
}

func (p *peak) memory(ctx context.Context, w stopwatch) error {
	var buffers []*gpu.Buffer
	for _, label := range []string{"from", "to"} {
		b, err := p.dev.NewBuffer(label, p.bytes)
		if err != nil {
			return err
		}
		defer b.Release()
		buffers = append(buffers, b)
	}
	for i, copies := range []bool{false, true} {
		var layouts []shaders.Source
		for _, layout := range []string{"neighbours", "runs", "uniform"} {
			if layout != "uniform" || p.target == shaders.CPUTable {
				layouts = append(layouts, probe.Memory{Target: p.target, Bytes: p.bytes, Copy: copies, Layout: layout}.Source())
			}
		}
		name := PeakRead
		if copies {
			name = PeakCopy
		}
		if err := p.fastest(ctx, w.part(2-i), name, "GB/s", layouts, buffers...); err != nil {
			return err
		}
	}
	return nil
}

func (p *peak) latency(ctx context.Context, w stopwatch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d, err := p.dispatch(probe.Nothing(), p.small)
	if err != nil {
		return err
	}
	const n = 1000
	many := slices.Repeat([]gpu.Dispatch{d}, n)
	times, err := w.part(2).run(many, 1+4*w.repeats)
	if err != nil {
		return err
	}
	p.addLatency(PeakDispatch, times, 1e6/n)

	one, err := p.dev.NewProgram("round trip", many[:1])
	if err != nil {
		return err
	}
	defer one.Release()
	times = times[:0]
	var word [4]byte
	for range 50 {
		began := time.Now()
		if err := one.Run(); err != nil {
			return err
		}
		if err := p.small.Read(0, word[:]); err != nil {
			return err
		}
		if times = append(times, time.Since(began).Seconds()); w.over() {
			break
		}
	}
	slices.Sort(times)
	p.addLatency(PeakRoundtrip, times, 1e6)
	return nil
}

func (p *peak) addLatency(name string, times []float64, scale float64) {
	p.rates = append(p.rates, Rate{Name: name, Unit: "us", Median: scale * times[len(times)/2], Best: scale * times[0]})
}
