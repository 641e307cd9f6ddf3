package graph

import (
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/gpu/gputest"
	"bitnet/shaders"
)

// rig is a model of one of each kind of parameter, as far as a test takes it.
type rig struct {
	t     *testing.T
	dev   *gpu.Device
	ps    *Params
	table *Param
	norm  *Param
	up    *Param
	g     *Graph
	plan  *Plan
	p     *Program
}

// declared has a graph over parameters without a layout.
func declared(t *testing.T, dev *gpu.Device) *rig {
	ps := NewParams(TargetOf(dev.Adapter()), LimitsOf(dev.Adapter()))
	r := &rig{t: t, dev: dev, ps: ps, table: ps.Matrix("embedding", 9, 16), norm: ps.Vector("norm", 16), up: ps.Ternary(16, Part{"up", 16})}
	r.g = New(ps, 1, 4)
	r.g.Loss(r.hidden(r.g), r.table)
	return r
}

func (r *rig) hidden(g *Graph) *Tensor {
	return g.BitLinear(g.NormQuantize(g.Embedding(r.table), r.norm, 1e-5), r.up, nil)
}

func (r *rig) laidOut(s Storage) *rig {
	require.NoError(r.t, r.ps.Layout(s))
	return r
}

func (r *rig) allocated() *rig {
	require.NoError(r.t, r.ps.Allocate(r.dev))
	r.t.Cleanup(r.ps.Release)
	return r
}

func (r *rig) trainingPlan() *rig {
	var err error
	r.plan, err = r.g.PlanTraining(AdamW{0.9, 0.95, 1e-8})
	require.NoError(r.t, err)
	return r
}

func (r *rig) forwardPlan() *rig {
	var err error
	r.plan, err = r.g.PlanForward()
	require.NoError(r.t, err)
	return r
}

func (r *rig) compiled() *rig {
	var err error
	r.p, err = r.plan.Compile(r.dev)
	require.NoError(r.t, err)
	r.t.Cleanup(r.p.Release)
	return r
}

// What is used in the wrong order, or without what it needs, is an error that
// says so.
func TestMisuse(t *testing.T) {
	sixteen := make([]float32, 16)
	plan := func(r *rig) error { _, err := r.g.PlanTraining(AdamW{}); return err }
	forward := func(r *rig) error { _, err := r.g.PlanForward(); return err }
	compile := func(r *rig) error { _, err := r.plan.Compile(r.dev); return err }
	released := func(r *rig) *rig { r.laidOut(ForTraining).allocated().trainingPlan().compiled().p.Release(); return r }
	ids := make([]uint32, 4)
	for _, row := range []struct {
		name string
		do   func(r *rig) error
		want string
	}{
		{"Layout twice", func(r *rig) error { return r.laidOut(ForTraining).ps.Layout(ForTraining) }, "laid out already, for training"},
		{"Layout for nothing", func(r *rig) error { return r.ps.Layout(0) }, "no storage number 0"},
		{"a parameter after Layout", func(r *rig) error { r.laidOut(ForTraining).ps.Vector("late", 3); return r.ps.Allocate(r.dev) }, "late is declared after Layout"},
		{"a parameter after Layout, planned", func(r *rig) error { r.laidOut(ForTraining).ps.Matrix("late", 3, 4); return plan(r) }, "late is declared after Layout"},
		{"Write to a parameter after Layout", func(r *rig) error {
			return r.laidOut(ForTraining).allocated().ps.Vector("late", 16).Write(Master, sixteen)
		}, "late is stored without its value"},
		{"no parts", func(r *rig) error { r.ps.Ternary(4); return r.ps.Layout(ForTraining) }, "at least one part"},
		{"Allocate before Layout", func(r *rig) error { return r.ps.Allocate(r.dev) }, "call Layout first"},
		{"Allocate twice", func(r *rig) error { return r.laidOut(ForTraining).allocated().ps.Allocate(r.dev) }, "allocated already"},
		{"plan before Layout", plan, "call Layout first"},
		{"plan forward before Layout", forward, "call Layout first"},
		{"plan twice", func(r *rig) error { r.laidOut(ForTraining).trainingPlan(); return plan(r) }, "planned already"},
		{"plan twice, forward", func(r *rig) error { r.laidOut(ForTraining).trainingPlan(); return forward(r) }, "planned already"},
		{"train what is laid out for evaluation", func(r *rig) error { r.laidOut(ForEvaluation); return plan(r) }, "laid out for evaluation and cannot be trained"},
		{"train without a loss", func(r *rig) error {
			r.laidOut(ForTraining).g = New(r.ps, 1, 4)
			r.hidden(r.g)
			return plan(r)
		}, "without a loss"},
		{"train without an optimizer", func(r *rig) error { _, err := r.laidOut(ForTraining).g.PlanTraining(nil); return err }, "needs an optimizer"},
		{"train over a cache", func(r *rig) error {
			cache, err := NewCache(r.laidOut(ForTraining).ps, 1, 1, 8, Heads{1, 1, 16})
			require.NoError(r.t, err)
			r.g = NewCached(r.ps, cache, 4)
			r.g.Loss(r.hidden(r.g), r.table)
			return plan(r)
		}, "no backward pass"},
		{"two losses", func(r *rig) error { r.laidOut(ForTraining).g.Loss(r.hidden(r.g), r.table); return plan(r) }, "one loss"},
		{"an operation after planning", func(r *rig) error {
			r.laidOut(ForTraining).allocated().trainingPlan().g.Embedding(r.table)
			return compile(r)
		}, "embedding: the graph is planned already"},
		{"an operation after compiling", func(r *rig) error {
			r.laidOut(ForTraining).allocated().trainingPlan().compiled().g.Embedding(r.table)
			return r.p.MicroBatch()
		}, "embedding: the graph is planned already"},
		{"Compile before Allocate", func(r *rig) error { return compile(r.laidOut(ForTraining).trainingPlan()) }, "call Allocate first"},
		{"Compile twice", func(r *rig) error { return compile(r.laidOut(ForTraining).allocated().trainingPlan().compiled()) }, "compiled already"},
		{"Compile with a cache that is not allocated", func(r *rig) error {
			r.laidOut(ForInference).allocated()
			h := Heads{1, 1, 16}
			cache, err := NewCache(r.ps, 1, 1, 8, h)
			require.NoError(r.t, err)
			r.g = NewCached(r.ps, cache, 1)
			qkv := r.g.input("qkv", F32, 1, h.Features())
			r.g.Attention(qkv, h)
			return compile(r.forwardPlan())
		}, "attention: keys and values is not in a device's memory"},
		{"Use after Compile", func(r *rig) error {
			return r.laidOut(ForTraining).allocated().trainingPlan().compiled().plan.Use(nil)
		}, "is compiled"},
		{"Write before Allocate", func(r *rig) error { return r.laidOut(ForTraining).norm.Write(Master, sixteen) }, "norm is not in a device's memory"},
		{"Write before Layout", func(r *rig) error { return r.norm.Write(Master, sixteen) }, "norm is stored without its value"},
		{"Write a gradient that is not kept", func(r *rig) error { return r.laidOut(ForEvaluation).allocated().norm.Write(Grad, sixteen) }, "norm is stored without its gradient"},
		{"Read a moment that is not kept", func(r *rig) error { return r.laidOut(ForEvaluation).allocated().norm.Read(SecondMoment, sixteen) }, "without its second moment"},
		{"Read rows of what is not kept", func(r *rig) error { return r.laidOut(ForInference).allocated().up.ReadRows(Master, 0, sixteen) }, "up is stored without its value"},
		{"Read flat what is not kept", func(r *rig) error { return r.laidOut(ForEvaluation).allocated().ps.ReadFlat(Grad, 0, sixteen) }, "without its gradient"},
		{"Write flat before Allocate", func(r *rig) error { return r.laidOut(ForTraining).ps.WriteFlat(Grad, 0, sixteen) }, "not in a device's memory"},
		{"a form that there is not", func(r *rig) error { return r.laidOut(ForTraining).allocated().norm.Write(7, sixteen) }, "no form number 7"},
		{"too few values", func(r *rig) error { return r.laidOut(ForTraining).allocated().norm.Write(Master, sixteen[:5]) }, "has 16 values, not 5"},
		{"too many values", func(r *rig) error {
			return r.laidOut(ForTraining).allocated().norm.Read(Master, make([]float32, 17))
		}, "has 16 values, not 17"},
		{"rows that there are not", func(r *rig) error { return r.laidOut(ForTraining).allocated().up.ReadRows(Master, 16, sixteen) }, "lie outside up"},
		{"Write after Release", func(r *rig) error {
			r.laidOut(ForTraining).allocated().ps.Release()
			return r.norm.Write(Master, sixteen)
		}, "not in a device's memory"},
		{"ternary codes of a vector", func(r *rig) error { return r.laidOut(ForInference).allocated().norm.WriteTernary(0, ids, 1) }, "has no ternary form"},
		{"ternary codes of no part", func(r *rig) error { return r.laidOut(ForInference).allocated().up.WriteTernary(1, ids, 1) }, "no part 1"},
		{"Quantize without values", func(r *rig) error { return r.laidOut(ForInference).allocated().ps.Quantize(r.dev) }, "use WriteTernary"},
		{"Quantize before Allocate", func(r *rig) error { return r.laidOut(ForTraining).ps.Quantize(r.dev) }, "call Allocate first"},
		{"count before Allocate", func(r *rig) error { _, err := r.laidOut(ForTraining).ps.NewShareCounter(r.dev); return err }, "call Allocate first"},
		{"SetStep before Allocate", func(r *rig) error { return r.laidOut(ForTraining).ps.SetStep(StepValues{}) }, "call Allocate first"},
		{"History before Layout", func(r *rig) error { _, err := r.ps.History(0, 1); return err }, "call Layout first"},
		{"Step without an update", func(r *rig) error { return r.laidOut(ForTraining).allocated().forwardPlan().compiled().p.Step() }, "forward pass only"},
		{"Update without an update", func(r *rig) error { return r.laidOut(ForTraining).allocated().forwardPlan().compiled().p.Update() }, "forward pass only"},
		{"segments without gradients", func(r *rig) error {
			_, err := r.laidOut(ForTraining).allocated().forwardPlan().compiled().p.Segments(2)
			return err
		}, "forward pass only"},
		{"no segments", func(r *rig) error {
			_, err := r.laidOut(ForTraining).allocated().trainingPlan().compiled().p.Segments(0)
			return err
		}, "at least one"},
		{"segments out of order", func(r *rig) error {
			list, err := r.laidOut(ForTraining).allocated().trainingPlan().compiled().p.Segments(3)
			require.NoError(r.t, err)
			require.Len(r.t, list, 3)
			require.NoError(r.t, list[0].Run())
			return list[2].Run()
		}, "segment 2 of a micro-batch is run after segment 0"},
		{"a segment twice", func(r *rig) error {
			list, err := r.laidOut(ForTraining).allocated().trainingPlan().compiled().p.Segments(3)
			require.NoError(r.t, err)
			for _, i := range []int{0, 0, 1} { // a micro-batch may begin again
				require.NoError(r.t, list[i].Run())
			}
			return list[1].Run()
		}, "segment 1 of a micro-batch is run after segment 1"},
		{"no logits", func(r *rig) error {
			return r.laidOut(ForTraining).allocated().trainingPlan().compiled().p.Logits(sixteen)
		}, "computes no logits"},
		{"rows without logits", func(r *rig) error {
			return r.laidOut(ForTraining).allocated().trainingPlan().compiled().p.SetRows(ids)
		}, "computes no logits"},
		{"no loss", func(r *rig) error {
			r.laidOut(ForTraining).allocated().g = New(r.ps, 1, 4)
			r.g.Logits(r.hidden(r.g), r.table, 1, false)
			return r.forwardPlan().compiled().p.Losses(sixteen)
		}, "computes no loss"},
		{"a batch of another size", func(r *rig) error {
			return r.laidOut(ForTraining).allocated().trainingPlan().compiled().p.Load(ids[:3], ids, 9)
		}, "3 tokens and 4 targets"},
		{"too many tokens", func(r *rig) error {
			return r.laidOut(ForTraining).allocated().trainingPlan().compiled().p.SetTokens(make([]uint32, 5))
		}, "lie outside tokens"},
		{"MicroBatch after Release", func(r *rig) error { return released(r).p.MicroBatch() }, "was released"},
		{"Update after Release", func(r *rig) error { return released(r).p.Update() }, "was released"},
		{"Step after Release", func(r *rig) error { return released(r).p.Step() }, "was released"},
		{"Load after Release", func(r *rig) error { return released(r).p.Load(ids, ids, 9) }, "was released"},
		{"SetTokens after Release", func(r *rig) error { return released(r).p.SetTokens(ids) }, "was released"},
		{"SetRows after Release", func(r *rig) error { return released(r).p.SetRows(ids) }, "was released"},
		{"Losses after Release", func(r *rig) error { return released(r).p.Losses(sixteen[:4]) }, "was released"},
		{"Logits after Release", func(r *rig) error { return released(r).p.Logits(sixteen) }, "was released"},
		{"Profile after Release", func(r *rig) error { _, err := released(r).p.Profile(); return err }, "was released"},
		{"Calls after Release", func(r *rig) error { _, err := released(r).p.Calls(); return err }, "was released"},
		{"Segments after Release", func(r *rig) error { _, err := released(r).p.Segments(1); return err }, "was released"},
		{"a segment after Release", func(r *rig) error {
			list, err := r.laidOut(ForTraining).allocated().trainingPlan().compiled().p.Segments(1)
			require.NoError(r.t, err)
			r.p.Release()
			return list[0].Run()
		}, "was released"},
		{"Compile after Release", func(r *rig) error { return compile(released(r)) }, "compiled already"},
		{"run after the parameters are released", func(r *rig) error {
			r.laidOut(ForTraining).allocated().trainingPlan().compiled().ps.Release()
			return r.p.MicroBatch()
		}, "call Allocate first"},
	} {
		t.Run(row.name, func(t *testing.T) {
			gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
				require.ErrorContains(t, row.do(declared(t, dev)), row.want)
			})
		})
	}
}

// Programs and parameters that do not fit the device's memory keep none of it.
func TestFailedAllocation(t *testing.T) {
	gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
		before := dev.Stats().Allocated
		ps := NewParams(TargetOf(dev.Adapter()), Limits{Binding: 1 << 50, Buffer: 1 << 50})
		ps.Vector("small", 8)
		ps.Matrix("large", 1<<20, 1<<20)
		require.NoError(t, ps.Layout(ForTraining))
		require.Error(t, ps.Allocate(dev))
		require.Equal(t, before, dev.Stats().Allocated)
		require.ErrorContains(t, ps.onDevice(), "call Allocate first")

		ps = NewParams(TargetOf(dev.Adapter()), Limits{Binding: 1 << 50, Buffer: 1 << 50})
		norm := ps.Vector("norm", 1<<20)
		require.NoError(t, ps.Layout(ForEvaluation))
		require.NoError(t, ps.Allocate(dev))
		g := New(ps, 1, 4)
		x := g.input("x", F32, 1<<20, 1<<20)
		g.RMSNorm(x, norm, 1e-5)
		plan, err := g.PlanForward()
		require.NoError(t, err)
		kept := dev.Stats().Allocated
		_, err = plan.Compile(dev)
		require.Error(t, err)
		require.Equal(t, kept, dev.Stats().Allocated)
		ps.Release()
		require.Equal(t, before, dev.Stats().Allocated)
	})
}

// Two rope tables of different angles are two tables; equal ones are one.
func TestConstants(t *testing.T) {
	ps := NewParams(shaders.GPU, Limits{Binding: 1 << 30, Buffer: 1 << 30})
	g := New(ps, 1, 4)
	h := Heads{1, 1, 4}
	for _, theta := range []float64{10000, 500000, 10000} {
		g.Rope(g.input("qkv", F32, 4, h.Features()), h, theta)
	}
	require.NoError(t, g.err)
	require.Len(t, g.constants, 2)
	require.NotEqual(t, g.constants[0].values, g.constants[1].values)
}
