package tune

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/gpu/gputest"
	"bitnet/graph"
	"bitnet/shaders"
	"bitnet/shaders/matmul"
)

// The fastest variant wins, if it is faster by more than noise and computes the
// same.
func TestBestVariant(t *testing.T) {
	gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
		mm := matmul.Product{Target: graph.TargetOf(dev.Adapter()), M: 36, N: 48, K: 32, A: floatRows, B: floatRows, Accumulate: true}
		x := graph.Product{Key: "it", MatMul: mm, Variants: mm.Variants(0), Calls: 1}
		var notes []string
		tn := &tuner{stopwatch: stopwatch{dev: dev}, Options: Options{Note: func(s string) { notes = append(notes, s) }}, operands: newOperands()}
		s, err := newScratch(dev, mm, tn.operands)
		require.NoError(t, err)
		defer s.release()
		enter := func(name string, src shaders.Source, rounds ...float64) *contender {
			once, err := s.dispatch(tn.stopwatch, src)
			require.NoError(t, err)
			return &contender{name: name, once: once, rounds: rounds}
		}
		src := x.Variants[0].Source()
		wrong := src
		require.Contains(t, wrong.Code, "var v = sum;")
		wrong.Code = strings.Replace(wrong.Code, "var v = sum;", "var v = sum; if (m == 3u) { v.y *= 1.01; }", 1)
		usual := enter("usual", src, 10, 10, 50, 10, 10)
		bad := enter("bad", wrong, 1, 1, 1, 1, 1)
		for _, row := range []struct {
			rounds []float64
			want   string
		}{
			{[]float64{5, 5, 5, 5, 5}, "good"},
			{[]float64{5, 5, 99, 5, 5}, "good"},           // one unlucky round
			{[]float64{9.8, 9.8, 9.8, 9.8, 9.8}, "usual"}, // less than noise
			{[]float64{12, 12, 1, 12, 12}, "usual"},       // one lucky round
			{[]float64{5, 5, 5, 12, 12}, "usual"},         // more than one unlucky round
		} {
			notes = nil
			best, err := tn.best(x, s, []*contender{usual, enter("good", x.Variants[1].Source(), row.rounds...), bad})
			require.NoError(t, err)
			require.Equal(t, row.want, best.name)
			require.Len(t, notes, 1)
			require.Regexp(t, `^it: bad is left out: c\[3, \d+\] is .* and not`, notes[0])
		}
	})
}

func TestDiffer(t *testing.T) {
	float := graph.Product{MatMul: matmul.Product{N: 2, K: 64, A: floatRows, B: floatRows}}
	half := float
	half.Rounded = true
	whole := graph.Product{MatMul: matmul.Product{N: 2, K: 64, A: int8Rows, B: ternRows}}
	nan := float32(math.NaN())
	for _, row := range []struct {
		x    graph.Product
		got  []float32
		want string
	}{
		{float, []float32{1, 2, -4}, ""},
		{float, []float32{1, 2.0001, -4}, ""},
		{float, []float32{1, 2.01, -4}, "c[0, 1] is 2.01 and not 2"},
		{half, []float32{1, 2.001, -4}, ""},
		{half, []float32{1, 2, -4.1}, "c[1, 0] is -4.1 and not -4"},
		{whole, []float32{1, 2, -4}, ""},
		{whole, []float32{1, 2, math.Nextafter32(-4, 0)}, "c[1, 0] is -3.9999998 and not -4"},
		{float, []float32{nan, 2, -4}, "c[0, 0] is NaN and not 1"},
	} {
		require.Equal(t, row.want, differ(row.x.MatMul, row.x.Rounded, []float32{1, 2, -4}, row.got))
	}
	require.NotEmpty(t, differ(float.MatMul, false, []float32{nan}, []float32{nan}))
}

// Measuring chooses a variant that exists, and leaves out what does not compile
// and what is known.
func TestMeasure(t *testing.T) {
	gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
		_, plan := model(t, dev.Adapter())
		products := plan.Products()
		require.Greater(t, len(products), 2)
		require.Equal(t, matmul.Int8, products[0].MatMul.A.Kind)
		x := &products[0] // the forward
		broken := shaders.Variant{Name: "broken", Source: func() shaders.Source {
			s := x.Variants[0].Source()
			s.Code += "\nfn oops("
			return s
		}}
		x.Variants = append(x.Variants[:2:2], broken)
		known := Tuning{}
		for _, p := range products[1:] {
			known[p.Key] = Choice{}
		}
		var notes, told []string
		got, err := Measure(t.Context(), dev, products, Options{
			Known:    known,
			Note:     func(s string) { notes = append(notes, s) },
			Progress: func(done, total int, product string) { told = append(told, fmt.Sprint(done, total, product)) },
		})
		require.NoError(t, err)
		require.Len(t, got, 1)
		choice := got[x.Key]
		names := []string{x.Variants[0].Name, x.Variants[1].Name}
		require.Contains(t, names, choice.Variant)
		require.Equal(t, names[0], choice.Default)
		require.Positive(t, choice.Seconds)
		require.LessOrEqual(t, choice.Seconds, choice.DefaultSeconds)
		require.Equal(t, choice.Variant != choice.Default, choice.Gain() > 1)
		require.Len(t, notes, 1)
		require.Contains(t, notes[0], "broken is left out: ")
		require.Equal(t, []string{"0 3" + x.Key, "1 3" + x.Key, "2 3" + x.Key}, told)

		require.NoError(t, plan.Use(got.Variants()))
		got["another"] = Choice{Variant: "any"}
		require.Equal(t, Tuning{x.Key: choice}, got.Of(plan))

		short, err := Measure(t.Context(), dev, products, Options{Budget: 1})
		require.NoError(t, err)
		for _, c := range short { // at most one, started in time
			require.True(t, c.Cut)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		stopped, err := Measure(ctx, dev, products, Options{})
		require.ErrorIs(t, err, context.Canceled)
		require.Empty(t, stopped)
	})
}
