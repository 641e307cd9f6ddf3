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
// that of the fastest of a few layouts. With an error, it returns what it measured
// before.
func MeasurePeak(ctx context.Context, dev *gpu.Device) ([]Rate, error) {
	return newPeak(dev).all(ctx)
}

// MeasureBandwidth measures only reading and copying, and returns the faster.
func MeasureBandwidth(ctx context.Context, dev *gpu.Device) (Rate, error) {
	p := newPeak(dev)
	if err := p.memory(ctx); err != nil {
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
	p := &peak{stopwatch: stopwatch{dev, 50 * time.Millisecond, 5}, target: graph.TargetOf(dev.Adapter())}
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
	for _, measure := range []func(context.Context) error{p.arithmetic, p.matrix, p.memory, p.latency} {
		if err := measure(ctx); err != nil {
			return p.rates, fmt.Errorf("measuring what the adapter can do: %w", err)
		}
	}
	return p.rates, nil
}

// fastest adds the rate of the fastest of some kernels; scale turns its Flops a
// second into the unit.
func (p *peak) fastest(ctx context.Context, name, unit string, layouts []shaders.Source, buffers ...*gpu.Buffer) error {
	r := Rate{Name: name, Unit: unit}
	for _, src := range layouts {
		if err := ctx.Err(); err != nil {
			return err
		}
		d, err := p.dispatch(src, buffers...)
		if err != nil {
			return err
		}
		times, err := p.seconds(d)
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

func (p *peak) arithmetic(ctx context.Context) error {
	groups := 4096
	if p.target != shaders.GPU {
		groups = 64
	}
	has := p.dev.Adapter().Has
	for _, x := range []struct {
		name, unit string
		kinds      []string
		factor     uint32
	}{
		{PeakFloat, "GFLOP/s", []string{"fma", "mul+add"}, math.Float32bits(0.5)},
		{PeakInt, "GOP/s", []string{"i32"}, 3},
		{PeakDot, "GOP/s", []string{"dot"}, 0x01ff0201},
	} {
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
		if err := p.fastest(ctx, x.name, x.unit, layouts, p.small); err != nil {
			return err
		}
	}
	return nil
}

func (p *peak) matrix(ctx context.Context) error {
	units := graph.UnitsOf(p.dev.Adapter())
	measured := 0
	for _, s := range units.Shapes {
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
		if err := p.fastest(ctx, fmt.Sprintf("%s, %v", PeakMatrix, s), unit, []shaders.Source{src}, p.small); err != nil {
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

func (p *peak) memory(ctx context.Context) error {
	var buffers []*gpu.Buffer
	for _, label := range []string{"from", "to"} {
		b, err := p.dev.NewBuffer(label, p.bytes)
		if err != nil {
			return err
		}
		defer b.Release()
		buffers = append(buffers, b)
	}
	for _, copies := range []bool{false, true} {
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
		if err := p.fastest(ctx, name, "GB/s", layouts, buffers...); err != nil {
			return err
		}
	}
	return nil
}

func (p *peak) latency(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d, err := p.dispatch(probe.Nothing(), p.small)
	if err != nil {
		return err
	}
	const n = 1000
	many := slices.Repeat([]gpu.Dispatch{d}, n)
	times, err := p.run(many, 1+4*p.repeats)
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
		times = append(times, time.Since(began).Seconds())
	}
	slices.Sort(times)
	p.addLatency(PeakRoundtrip, times, 1e6)
	return nil
}

func (p *peak) addLatency(name string, times []float64, scale float64) {
	p.rates = append(p.rates, Rate{Name: name, Unit: "us", Median: scale * times[len(times)/2], Best: scale * times[0]})
}
