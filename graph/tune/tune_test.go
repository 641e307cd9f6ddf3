package graph

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/shaders"
)

var (
	floatRows, floatCols = shaders.Operand{Kind: shaders.F32, AlongK: true}, shaders.Operand{Kind: shaders.F32}
	int8Rows, int8Cols   = shaders.Operand{Kind: shaders.Int8, AlongK: true}, shaders.Operand{Kind: shaders.Int8}
	ternRows, ternCols   = shaders.Operand{Kind: shaders.Ternary, AlongK: true}, shaders.Operand{Kind: shaders.Ternary}
)

// Every variant computes its product; TestMatMul has all products in the
// defaults. Compiling takes its time on a CPU: there the kernels of a GPU are
// given plain floats, and a few of them are tested, all with
// BITNET_VARIANTS=all.
func TestVariants(t *testing.T) {
	products := []shaders.MatMul{
		{A: int8Rows, B: ternRows, RowScale: true, ColScale: true, Residual: true},
		{A: floatRows, B: ternCols, ScaleK: true},
		{A: floatCols, B: int8Cols, ScaleK: true, Accumulate: true},
		{A: floatRows, B: floatRows},
	}
	shapes := [][3]int{{68, 112, 80}, {132, 72, 36}, {40, 160, 48}} // not multiples of the tiles
	onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
		products, every := products, 1
		if target == shaders.GPU && foreign(dev, target) {
			products, every = products[3:], 6
		}
		type kernel struct {
			mm shaders.MatMul
			shaders.Variant
		}
		var names []string
		all := map[string][]kernel{}
		for i := range len(products) * len(shapes) {
			mm, s := products[i%len(products)], shapes[i%len(shapes)]
			mm.Target, mm.M, mm.N, mm.K = target, s[0], s[1], s[2]
			for _, v := range mm.Variants(UnitsOf(dev.Adapter()).WorkgroupMemory) {
				if all[v.Name] == nil {
					names = append(names, v.Name)
				}
				all[v.Name] = append(all[v.Name], kernel{mm, v})
			}
		}
		require.Greater(t, len(names), 3)
		for i := 0; i < len(names); i += every {
			k := all[names[i]][i%len(all[names[i]])]
			src := k.Source()
			require.Equal(t, names[i], src.Variant)
			t.Run(src.Variant+" "+src.Label, func(t *testing.T) {
				got, want := product(t, dev, k.mm, src, nil, nil)
				near(t, "c", want, widen(got), exact32)
			})
		}
	})
}

func TestVariantsOnMatrixUnits(t *testing.T) {
	onMatrixUnits(t, func(t *testing.T, dev *gpu.Device, units shaders.MatrixUnits) {
		every := 4
		if dev.Adapter().Kind != gpu.CPU || os.Getenv("BITNET_VARIANTS") == "all" {
			every = 1
		}
		for i, mm := range []shaders.MatMul{
			{A: int8Rows, B: ternRows, RowScale: true, ColScale: true, Residual: true},
			{A: floatRows, B: ternCols, ScaleK: true, Gain: 16},
			{A: floatCols, B: int8Cols, ScaleK: true, Accumulate: true},
		} {
			s := matrixShapes[i]
			mm.Target, mm.M, mm.N, mm.K = shaders.GPU, 2*s[0], s[1], s[2]
			variants := mm.MatrixVariants(units)
			require.NotEmpty(t, variants)
			if dev.Adapter().Has(gpu.PackedDot) {
				variants = append(variants, mm.PackedVariants(units.WorkgroupMemory)...)
			}
			for j := i; j < len(variants); j += every {
				src := variants[j].Source()
				t.Run(src.Variant+" "+src.Label, func(t *testing.T) {
					small := func(v float64) float64 { return coarse(v) / float64(max(mm.Gain, 1)) }
					got, want := product(t, dev, mm, src, small, power)
					near(t, "c", want, widen(got), exact32)
				})
			}
		}
	})
}

func TestPick(t *testing.T) {
	mm := shaders.MatMul{Target: shaders.GPU, M: 256, N: 512, K: 64, A: floatRows, B: floatRows}
	variants := mm.Variants(0)
	require.Greater(t, len(variants), 5)
	key := productKey(mm, false)
	other := mm
	other.Accumulate = true
	require.NotEqual(t, key, productKey(other, false))
	require.NotEqual(t, key, productKey(mm, true))
	for name, want := range map[string]string{
		"":               variants[0].Name,
		variants[0].Name: variants[0].Name,
		variants[3].Name: variants[3].Name,
		"tiles of gold":  variants[0].Name,
	} {
		e := &emitter{tuning: Tuning{key: {Variant: name}}}
		require.Equal(t, want, e.pick(mm, false, variants).Variant, name)
		require.Equal(t, variants[0].Name, e.pick(other, false, other.Variants(0)).Variant)
		e.pick(mm, false, variants)
		p := &Plan{products: e.products}
		require.Len(t, p.Products(), 2)
		require.Equal(t, key, p.Products()[0].Name)
		require.Len(t, p.Products()[0].Variants, len(variants))
		require.Equal(t, 2, e.products[0].calls)
		require.Equal(t, Tuning{key: {Variant: name}}, Tuning{key: {Variant: name}, "another": {}}.Of(p))
	}
	one := &emitter{}
	mm.M = 1
	require.Equal(t, "rows", one.pick(mm, false, mm.Variants(0)).Variant)
	require.Empty(t, one.products, "there is nothing to choose")
}

// No variant needs more than WebGPU guarantees, or than an adapter says it has.
func TestVariantsFitLimits(t *testing.T) {
	for _, mm := range []shaders.MatMul{
		{M: 4096, N: 768, K: 768, A: int8Rows, B: ternRows}, {M: 60, N: 32000, K: 256, A: floatRows, B: floatRows}, {M: 1 << 21, N: 64, K: 64, A: floatRows, B: floatRows},
	} {
		names := map[string]bool{}
		for _, v := range append(mm.Variants(0), mm.PackedVariants(0)...) {
			require.False(t, names[v.Name], v.Name)
			names[v.Name] = true
			var m, n, k, rm, rn int
			_, err := fmt.Sscanf(strings.TrimPrefix(v.Name, "packed, "), "tiles %dx%dx%d, %dx%d sums", &m, &n, &k, &rm, &rn)
			require.NoError(t, err)
			require.LessOrEqual(t, m/rm*(n/rn), 256, v.Name)
			src := v.Source()
			require.LessOrEqual(t, max(src.Groups[0], src.Groups[1]), uint32(65535), v.Name)
		}
		if mm.M == 4096 {
			require.Greater(t, len(mm.Variants(32<<10)), len(mm.Variants(0)))
		}
	}
}

// The fastest variant wins, if it is faster by more than noise and computes the
// same.
func TestBestVariant(t *testing.T) {
	onEveryAdapter(t, func(t *testing.T, dev *gpu.Device) {
		mm := shaders.MatMul{Target: TargetOf(dev.Adapter()), M: 36, N: 48, K: 32, A: floatRows, B: floatRows, Accumulate: true}
		x := tunable{"it", mm, false, mm.Variants(0), 1}
		var notes []string
		tn := &tuner{stopwatch: stopwatch{dev: dev}, TuneOptions: TuneOptions{Note: func(s string) { notes = append(notes, s) }}, rng: newRand()}
		s, err := tn.scratch(mm)
		require.NoError(t, err)
		defer s.release()
		enter := func(name string, src shaders.Source, rounds ...float64) *contender {
			once, err := s.dispatch(tn.stopwatch, src)
			require.NoError(t, err)
			return &contender{name: name, once: once, rounds: rounds}
		}
		src := x.variants[0].Source()
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
			best, err := tn.best(x, s, []*contender{usual, enter("good", x.variants[1].Source(), row.rounds...), bad})
			require.NoError(t, err)
			require.Equal(t, row.want, best.name)
			require.Len(t, notes, 1)
			require.Regexp(t, `^it: bad is left out: c\[3, \d+\] is .* and not`, notes[0])
		}
	})
}

func TestDiffer(t *testing.T) {
	float := tunable{mm: shaders.MatMul{N: 2, K: 64, A: floatRows, B: floatRows}}
	half := float
	half.rounded = true
	whole := tunable{mm: shaders.MatMul{N: 2, K: 64, A: int8Rows, B: ternRows}}
	nan := float32(math.NaN())
	for _, row := range []struct {
		x    tunable
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
		require.Equal(t, row.want, row.x.differ([]float32{1, 2, -4}, row.got))
	}
	require.NotEmpty(t, float.differ([]float32{nan}, []float32{nan}))
}

// Tuning chooses a variant that there is, leaves out what does not compile and
// what is known, and what was chosen computes the same.
func TestTune(t *testing.T) {
	onEveryAdapter(t, func(t *testing.T, dev *gpu.Device) {
		linear := opTest{
			batch: 1, seq: 40, inputs: []matrix{random(1, 40, 32)}, params: []matrix{random(2, 48, 32)}, ternary: []int{48},
			dy:    random(3, 40, 48),
			build: func(g *Graph, x []*Tensor, p []*Param) *Tensor { return g.BitLinear(g.Quantize(x[0]), p[0], nil) },
		}
		target := TargetOf(dev.Adapter())
		usual := linear.run(t, dev, target)
		plan := usual.plan
		require.Len(t, plan.products, 3)
		x := &plan.products[0] // the forward
		require.Equal(t, shaders.Int8, x.mm.A.Kind)
		broken := shaders.Variant{Name: "broken", Source: func() shaders.Source {
			s := x.variants[0].Source()
			s.Code += "\nfn oops("
			return s
		}}
		x.variants = append(x.variants[:2:2], broken)
		known := Tuning{plan.products[1].key: {}, plan.products[2].key: {}}
		var notes, told []string
		got, err := plan.Tune(t.Context(), dev, TuneOptions{
			Known:    known,
			Note:     func(s string) { notes = append(notes, s) },
			Progress: func(done, total int, product string) { told = append(told, fmt.Sprint(done, total, product)) },
		})
		require.NoError(t, err)
		require.Len(t, got, 1)
		choice := got[x.key]
		names := []string{x.variants[0].Name, x.variants[1].Name}
		require.Contains(t, names, choice.Variant)
		require.Equal(t, names[0], choice.Default)
		require.Positive(t, choice.Seconds)
		require.LessOrEqual(t, choice.Seconds, choice.DefaultSeconds)
		require.Equal(t, choice.Variant != choice.Default, choice.Gain() > 1)
		require.Len(t, notes, 1)
		require.Contains(t, notes[0], "broken is left out: ")
		require.Equal(t, []string{"0 3" + x.key, "1 3" + x.key, "2 3" + x.key}, told)

		// Whatever was measured, the other variant gives the same bits.
		linear.tuning = Tuning{x.key: {Variant: names[1]}}
		tuned := linear.run(t, dev, target)
		require.Equal(t, names[1], variantOf(t, tuned.plan, x.mm))
		require.Equal(t, usual.y, tuned.y)
		near(t, "dx", usual.dx[0], tuned.dx[0], exact32)
	})
}

// onEveryAdapter runs f on every adapter at hand, with its own kernels.
func onEveryAdapter(t *testing.T, f func(t *testing.T, dev *gpu.Device)) {
	all, err := devices()
	require.NoError(t, err)
	if len(all) == 0 {
		t.Skip("no adapter: run gpu/install-vulkan.sh")
	}
	for _, dev := range all {
		t.Run(dev.Adapter().Name, func(t *testing.T) { f(t, dev) })
	}
}

// variantOf is what a plan runs a product with.
func variantOf(t *testing.T, p *Plan, mm shaders.MatMul) string {
	for _, c := range p.calls {
		if c.src.Variant != "" && strings.HasPrefix(c.src.Label, mm.String()) {
			return c.src.Variant
		}
	}
	t.Fatalf("the plan has no call of %s", mm)
	return ""
}
