package graph

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"bitnet/gpu"
	"bitnet/shaders"
)

// TuneOptions say what to measure and how long.
type TuneOptions struct {
	Known    Tuning        // products in it are left out
	Budget   time.Duration // after it no variant is begun; 0 for all the time it takes
	Progress func(done, total int, product string)
	Note     func(string) // of variants that fail
}

// What it takes to turn from the default: noise must not decide.
const (
	tuneSpan   = 20 * time.Millisecond // at least, of one measurement
	tuneHope   = 1.25                  // times the fastest so far, above which a variant is given up
	tuneFinal  = 3                     // variants that take turns with the default at last
	tuneRounds = 9                     // of those turns; a variant has to win all but one
	tuneGain   = 1.03                  // of the median round, that it has to reach
)

// Tune measures the variants of the plan's products, those with the most work
// first, on made-up operands of their shapes. A variant is chosen only if it
// computes what the default does: to the bit where sums are exact, and else
// within rounding. The plan needs no memory on the device for it. With an error
// it gives what was chosen before, and the default for a product that lost the
// device.
func (p *Plan) Tune(ctx context.Context, dev *gpu.Device, o TuneOptions) (Tuning, error) {
	var todo []tunable
	total, done := 0, 0
	for _, x := range p.products {
		if _, ok := o.Known[x.key]; !ok {
			todo = append(todo, x)
			total += len(x.variants)
		}
	}
	slices.SortStableFunc(todo, func(a, b tunable) int { return cmp.Compare(b.work(), a.work()) })
	t := tuner{stopwatch: stopwatch{dev: dev}, TuneOptions: o, rng: newRand()}
	end := time.Now().Add(o.Budget)
	out := Tuning{}
	for i, x := range todo {
		left := time.Until(end)
		if o.Budget > 0 && left <= 0 {
			break
		}
		// What has more work may take more than its share.
		t.end = time.Now().Add(min(left, 2*left/time.Duration(len(todo)-i)))
		c, err := t.contest(ctx, x, func(variant int) {
			if o.Progress != nil {
				o.Progress(done+variant, total, x.key)
			}
		})
		if errors.Is(err, gpu.ErrDeviceLost) { // what loses the device is not tried again
			out[x.key] = Choice{Variant: x.variants[0].Name, Default: x.variants[0].Name}
		}
		if err != nil {
			return out, fmt.Errorf("tuning %s: %w", x.key, err)
		}
		out[x.key] = c
		done += len(x.variants)
	}
	return out, nil
}

func newRand() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// work is the arithmetic of all calls of a product.
func (x tunable) work() int { return x.mm.M * x.mm.N * x.mm.K * x.calls }

type tuner struct {
	stopwatch
	TuneOptions
	end time.Time
	rng *rand.Rand
}

func (t *tuner) late() bool { return t.Budget > 0 && time.Now().After(t.end) }

// contender is a variant that is measured.
type contender struct {
	name    string
	once    gpu.Dispatch
	program *gpu.Program // many times
	fastest float64      // seconds of the program
	rounds  []float64
}

// contest chooses a variant of a product: all are measured in short, and the
// fastest take turns with the default.
func (t *tuner) contest(ctx context.Context, x tunable, progress func(variant int)) (Choice, error) {
	s, err := t.scratch(x.mm)
	if err != nil {
		return Choice{}, err
	}
	defer s.release()
	var field []*contender // the default first
	defer func() {
		for _, c := range field {
			c.program.Release()
		}
	}()
	calls, fastest := 0, 0.0 // of a program
	cut := false
	for i, v := range x.variants {
		if err := ctx.Err(); err != nil {
			return Choice{}, err
		}
		if cut = i > 0 && t.late(); cut {
			break
		}
		progress(i)
		c, n, err := t.enter(v, s, calls)
		if err != nil {
			if i == 0 || errors.Is(err, gpu.ErrDeviceLost) {
				return Choice{}, err
			}
			t.note(x, v.Name, strings.Join(strings.Fields(err.Error()), " "))
			continue
		}
		if calls = n; i == 0 || c.fastest < fastest {
			fastest = c.fastest
		}
		if i > 0 && c.fastest > tuneHope*fastest {
			c.program.Release()
			continue
		}
		field = append(field, c)
	}
	slices.SortStableFunc(field[1:], func(a, b *contender) int { return cmp.Compare(a.fastest, b.fastest) })
	final := field[:min(len(field), 1+tuneFinal)]
	for round := range tuneRounds {
		for i := range final {
			c := final[(round+i)%len(final)]
			seconds, err := t.time(c.program)
			if err != nil {
				return Choice{}, err
			}
			c.rounds = append(c.rounds, seconds)
		}
	}
	usual := final[0]
	seconds := median(usual.rounds) / float64(calls)
	best, err := t.best(x, s, final)
	return Choice{best.name, seconds / best.gain(usual), usual.name, seconds, cut}, err
}

// enter compiles a variant and measures it in short, calls times; 0 is for as
// often as a measurement needs.
func (t *tuner) enter(v shaders.Variant, s *scratch, calls int) (*contender, int, error) {
	once, err := s.dispatch(t.stopwatch, v.Source())
	if err != nil {
		return nil, 0, err
	}
	c := &contender{name: v.Name, once: once}
	if calls == 0 {
		one, err := t.run([]gpu.Dispatch{c.once}, 2) // the first run warms up
		if err != nil {
			return nil, 0, err
		}
		calls = int(min(max(tuneSpan.Seconds()/one[0], 1), most))
	}
	if c.program, err = t.dev.NewProgram("tuning", slices.Repeat([]gpu.Dispatch{c.once}, calls)); err != nil {
		return nil, 0, err
	}
	for range 2 {
		seconds, err := t.time(c.program)
		if err != nil {
			c.program.Release()
			return nil, 0, err
		}
		if c.fastest == 0 || seconds < c.fastest {
			c.fastest = seconds
		}
	}
	return c, calls, nil
}

// best is the fastest contender that computes what the first does, if it is
// so much faster that this is no noise, and else the first.
func (t *tuner) best(x tunable, s *scratch, final []*contender) (*contender, error) {
	usual := final[0]
	order := slices.Clone(final[1:])
	slices.SortStableFunc(order, func(a, b *contender) int { return cmp.Compare(b.gain(usual), a.gain(usual)) })
	var want []float32
	for _, c := range order {
		if !c.beats(usual) {
			continue
		}
		var err error
		if want == nil {
			if want, err = s.result(t.dev, usual.once); err != nil {
				return usual, err
			}
		}
		got, err := s.result(t.dev, c.once)
		if err != nil {
			return usual, err
		}
		if why := x.differ(want, got); why != "" {
			t.note(x, c.name, why)
			continue
		}
		return c, nil
	}
	return usual, nil
}

func (t *tuner) note(x tunable, variant, why string) {
	if t.Note != nil {
		t.Note(fmt.Sprintf("%s: %s is left out: %s", x.key, variant, why))
	}
}

// ratios are how many times as fast as another a contender was in each round,
// the least first.
func (c *contender) ratios(other *contender) []float64 {
	out := make([]float64, len(c.rounds))
	for i := range out {
		out[i] = other.rounds[i] / c.rounds[i]
	}
	slices.Sort(out)
	return out
}

// gain is that of the median round.
func (c *contender) gain(other *contender) float64 { return median(c.ratios(other)) }

func (c *contender) beats(other *contender) bool {
	return c.ratios(other)[1] > 1 && c.gain(other) >= tuneGain
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
