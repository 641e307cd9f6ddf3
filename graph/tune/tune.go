package tune

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"bitnet/gpu"
	"bitnet/graph"
	"bitnet/shaders"
)

// Options say what to measure and for how long.
type Options struct {
	Known    Tuning        // products in it are left out
	Budget   time.Duration // no variant is started after it; 0: no limit
	Progress func(done, total int, product string)
	Note     func(string) // reports variants that fail
}

// What a variant must achieve to replace the default: noise must not decide.
const (
	measureSpan = 20 * time.Millisecond // of one measurement, at least
	hopeless    = 1.25                  // times the fastest so far: slower variants are dropped
	finalists   = 3                     // variants that are measured alternately with the default
	rounds      = 9                     // of these; a variant has to win all but one
	leastGain   = 1.03                  // of the median round
)

// Measure measures the variants of products, those with the most work first, on
// made-up operands of their shapes, and chooses one for each. A variant is chosen
// only if it computes what the default does: to the bit where sums are exact,
// within rounding elsewhere. No plan has to be compiled for it. With an error,
// Measure returns what it chose before, and the default for a product that lost
// the device.
func Measure(ctx context.Context, dev *gpu.Device, products []graph.Product, o Options) (Tuning, error) {
	var todo []graph.Product
	total, done := 0, 0
	for _, x := range products {
		if _, ok := o.Known[x.Key]; !ok {
			todo = append(todo, x)
			total += len(x.Variants)
		}
	}
	slices.SortStableFunc(todo, func(a, b graph.Product) int { return cmp.Compare(work(b), work(a)) })
	t := tuner{stopwatch: stopwatch{dev: dev}, Options: o, operands: newOperands()}
	end := time.Now().Add(o.Budget)
	out := Tuning{}
	for i, x := range todo {
		left := time.Until(end)
		if o.Budget > 0 && left <= 0 {
			break
		}
		// A product with more work may take more than its share.
		t.end = time.Now().Add(min(left, 2*left/time.Duration(len(todo)-i)))
		c, err := t.choose(ctx, x, func(variant int) {
			if o.Progress != nil {
				o.Progress(done+variant, total, x.Key)
			}
		})
		if errors.Is(err, gpu.ErrDeviceLost) { // a product that loses the device is not tried again
			out[x.Key] = Choice{Variant: x.Variants[0].Name, Default: x.Variants[0].Name}
		}
		if err != nil {
			return out, fmt.Errorf("tuning %s: %w", x.Key, err)
		}
		out[x.Key] = c
		done += len(x.Variants)
	}
	return out, nil
}

// work is the arithmetic of all calls of a product.
func work(x graph.Product) int {
	return x.MatMul.Count() * x.MatMul.M * x.MatMul.N * x.MatMul.K * x.Calls
}

type tuner struct {
	stopwatch
	Options
	operands
	end time.Time
}

func (t *tuner) late() bool { return t.Budget > 0 && time.Now().After(t.end) }

// contender is a variant that is measured.
type contender struct {
	name    string
	once    gpu.Dispatch
	program *gpu.Program // runs it many times
	fastest float64      // seconds of the program
	rounds  []float64
}

// choose chooses a variant of a product: all are measured briefly, and then the
// fastest alternately with the default.
func (t *tuner) choose(ctx context.Context, x graph.Product, progress func(variant int)) (Choice, error) {
	s, err := newScratch(t.dev, x.MatMul, t.operands)
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
	for i, v := range x.Variants {
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
		if i > 0 && c.fastest > hopeless*fastest {
			c.program.Release()
			continue
		}
		field = append(field, c)
	}
	slices.SortStableFunc(field[1:], func(a, b *contender) int { return cmp.Compare(a.fastest, b.fastest) })
	final := field[:min(len(field), 1+finalists)]
	for round := range rounds {
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

// enter compiles a variant and measures it briefly, calls times; 0: as often as
// a measurement needs.
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
		calls = int(min(max(measureSpan.Seconds()/one[0], 1), most))
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
// faster by more than noise. Otherwise it is the first.
func (t *tuner) best(x graph.Product, s *scratch, final []*contender) (*contender, error) {
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
		if why := differ(x.MatMul, x.Rounded, want, got); why != "" {
			t.note(x, c.name, why)
			continue
		}
		return c, nil
	}
	return usual, nil
}

func (t *tuner) note(x graph.Product, variant, why string) {
	if t.Note != nil {
		t.Note(fmt.Sprintf("%s: %s is left out: %s", x.Key, variant, why))
	}
}

// ratios are how many times as fast as another contender this one was in each
// round, the smallest first.
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
	return c.ratios(other)[1] > 1 && c.gain(other) >= leastGain
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
