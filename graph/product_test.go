package graph

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/gpu/gputest"
	"bitnet/shaders"
	"bitnet/shaders/matmul"
)

// namedVariant is a variant that binds the tensors of these names and writes the last.
func namedVariant(name string, bindings ...string) shaders.Variant {
	return shaders.Variant{Name: name, Source: func() shaders.Source {
		writes := make([]bool, len(bindings))
		writes[len(bindings)-1] = true
		return shaders.Source{Variant: name, Names: bindings, Writes: writes}
	}}
}

func TestProducts(t *testing.T) {
	mm := matmul.Product{Target: shaders.GPU, M: 256, N: 512, K: 64, A: floatRows, B: floatRows}
	variants := mm.Variants(0)
	require.Greater(t, len(variants), 5)
	key := productKey(mm, false)
	other := mm
	other.Accumulate = true
	require.NotEqual(t, key, productKey(other, false))
	require.NotEqual(t, key, productKey(mm, true))

	a, b, c := tensor("a", F32, 256, 64), tensor("b", F32, 512, 64), tensor("c", F32, 256, 512)
	e := &emitter{op: "test"}
	e.choose(mm, false, variants, wholes(a, b, c)...)
	e.choose(other, false, other.Variants(0), wholes(a, b, c)...)
	e.choose(mm, false, variants, wholes(a, b, c)...)
	one := mm
	one.M = 1
	e.choose(one, false, one.Variants(0), arg{a, 0, 1}, whole(b), arg{c, 0, 1})
	require.NoError(t, e.err)
	p := &Plan{emitted: e.calls, calls: append([]call(nil), e.calls...), products: e.products}
	products := p.Products()
	require.Len(t, products, 2, "a product with one variant leaves nothing to choose")
	require.Equal(t, key, products[0].Key)
	require.Equal(t, mm, products[0].MatMul)
	require.Len(t, products[0].Variants, len(variants))
	require.Equal(t, 2, products[0].Calls)
	require.Equal(t, 1, products[1].Calls)

	for name, want := range map[string]string{
		"":               variants[0].Name,
		variants[0].Name: variants[0].Name,
		variants[3].Name: variants[3].Name,
		"tiles of gold":  variants[0].Name,
	} {
		require.NoError(t, p.Use(map[string]string{key: name, "another product": variants[1].Name, "": variants[1].Name}))
		var got []string
		for _, c := range p.calls {
			got = append(got, c.src.Variant)
		}
		require.Equal(t, []string{want, variants[0].Name, want, "rows"}, got, name)
	}
	require.NoError(t, p.Use(map[string]string{key: variants[3].Name}))
	require.NoError(t, p.Use(nil))
	require.Equal(t, variants[0].Name, p.calls[0].src.Variant, "each Use starts from the defaults")
}

// A variant may bind the tensors in another order, or not all of them; one that
// binds something else, or writes something else, is not used.
func TestUseBindings(t *testing.T) {
	a, b, scale, c := tensor("a", F32, 4, 4), tensor("b", F32, 4, 4), tensor("scale", F32, 1, 4), tensor("c", F32, 4, 4)
	variants := []shaders.Variant{
		namedVariant("usual", "a", "b", "scale", "c"),
		namedVariant("other order", "b", "scale", "a", "c"),
		namedVariant("fewer", "a", "b", "c"),
		namedVariant("more", "a", "b", "scale", "residual", "c"),
		namedVariant("writes a factor", "b", "scale", "c", "a"),
		namedVariant("writes nothing known", "a", "b", "scale", "d"),
		{Name: "only reads", Source: func() shaders.Source {
			return shaders.Source{Variant: "only reads", Names: []string{"a", "b"}, Writes: []bool{false, false}}
		}},
	}
	for name, want := range map[string][]*Tensor{
		"usual":       {a, b, scale, c},
		"other order": {b, scale, a, c},
		"fewer":       {a, b, c},
		"more":        nil, "writes a factor": nil, "writes nothing known": nil, "only reads": nil,
	} {
		e := &emitter{}
		e.choose(matmul.Product{}, false, variants, wholes(a, b, scale, c)...)
		require.NoError(t, e.err)
		p := &Plan{emitted: e.calls, calls: append([]call(nil), e.calls...), products: e.products}
		require.NoError(t, p.Use(map[string]string{p.products[0].Key: name}))
		got := p.calls[0]
		if want == nil {
			name, want = "usual", []*Tensor{a, b, scale, c}
		}
		require.Equal(t, name, got.src.Variant)
		require.Len(t, got.args, len(want), name)
		for i, x := range got.args {
			require.Same(t, want[i], x.t, "%s: binding %d", name, i)
		}
	}
}

// Each call of a product keeps what its own variants were made for: two calls of
// one key may lift their gradients by different gains.
func TestUseKeepsGain(t *testing.T) {
	mm := matmul.Product{M: 64, N: 64, K: 64, A: floatRows, B: floatRows, Gain: 16}
	gained := func(gain string) []shaders.Variant {
		source := func() shaders.Source { return shaders.Source{Code: gain, Names: []string{"c"}, Writes: []bool{true}} }
		return []shaders.Variant{{Name: "usual", Source: source}, {Name: "fast", Source: source}}
	}
	e := &emitter{}
	e.choose(mm, true, gained("16"), whole(tensor("c", F32, 1, 1)))
	mm.Gain = 64
	e.choose(mm, true, gained("64"), whole(tensor("c", F32, 1, 1)))
	require.Len(t, e.products, 1)
	p := &Plan{emitted: e.calls, calls: append([]call(nil), e.calls...), products: e.products}
	require.NoError(t, p.Use(map[string]string{e.products[0].Key: "fast"}))
	require.Equal(t, "16", p.calls[0].src.Code)
	require.Equal(t, "64", p.calls[1].src.Code)
}

// A plan with other variants computes the same, the exact forward to the bit.
func TestUseComputesTheSame(t *testing.T) {
	gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
		linear := trial{
			batch: 1, seq: 40, inputs: []matrix{random(1, 40, 32)}, params: []matrix{random(2, 48, 32)}, ternary: []int{48},
			dy:    random(3, 40, 48),
			build: func(g *Graph, x []*Tensor, p []*Param) *Tensor { return g.BitLinear(g.Quantize(x[0]), p[0], nil) },
		}
		target := TargetOf(dev.Adapter())
		usual := linear.run(t, dev, target)
		products := usual.plan.Products()
		require.Len(t, products, 3)
		forward := products[0]
		require.Equal(t, matmul.Int8, forward.MatMul.A.Kind)
		linear.variants = map[string]string{forward.Key: forward.Variants[1].Name}
		tuned := linear.run(t, dev, target)
		require.Equal(t, forward.Variants[0].Name, variantOf(t, usual.plan, forward.MatMul))
		require.Equal(t, forward.Variants[1].Name, variantOf(t, tuned.plan, forward.MatMul))
		require.Equal(t, usual.y, tuned.y)
		near(t, "dx", usual.dx[0], tuned.dx[0], exact32)
		require.ErrorContains(t, tuned.plan.Use(nil), "compiled")
	})
}

// variantOf is what a plan runs a product with.
func variantOf(t *testing.T, p *Plan, mm matmul.Product) string {
	for _, c := range p.calls {
		if c.src.Variant != "" && strings.HasPrefix(c.src.Label, mm.String()) {
			return c.src.Variant
		}
	}
	t.Fatalf("the plan has no call of %s", mm)
	return ""
}
