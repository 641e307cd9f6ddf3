package tune

import (
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/gpu/gputest"
	"bitnet/graph"
	"bitnet/shaders/matmul"
)

// onMatrixUnits runs f on every adapter with matrix units.
func onMatrixUnits(t *testing.T, f func(t *testing.T, dev *gpu.Device)) {
	gputest.OnMatrixUnits(t, func(a gpu.Adapter) bool { return len(graph.UnitsOf(a).Shapes) > 0 }, f)
}

var (
	floatRows = matmul.Operand{Kind: matmul.F32, AlongK: true}
	int8Rows  = matmul.Operand{Kind: matmul.Int8, AlongK: true}
	ternRows  = matmul.Operand{Kind: matmul.Ternary, AlongK: true}
)

// model plans the training of an embedding, one ternary projection and the head,
// on 40 tokens.
func model(t *testing.T, a gpu.Adapter) (*graph.Params, *graph.Plan) {
	t.Helper()
	ps := graph.NewParams(graph.TargetOf(a), graph.LimitsOf(a))
	table, norm := ps.Matrix("embedding", 20, 32), ps.Vector("norm", 32)
	up := ps.Ternary(32, graph.Part{Name: "up", Rows: 32})
	require.NoError(t, ps.Layout(graph.ForTraining))
	g := graph.New(ps, 1, 40)
	g.Loss(g.BitLinear(g.NormQuantize(g.Embedding(table), norm, 1e-5), up, nil), table)
	plan, err := g.PlanTraining(graph.AdamW{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8})
	require.NoError(t, err)
	return ps, plan
}
