package tune

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/graph"
	"bitnet/shaders/matmul"
)

var devices = sync.OnceValues(func() ([]*gpu.Device, error) {
	adapters, err := gpu.Adapters()
	if err != nil {
		return nil, err
	}
	var out []*gpu.Device
	for _, a := range adapters {
		d, err := a.Open()
		if err != nil {
			return nil, fmt.Errorf("opening %s: %w", a.Name, err)
		}
		out = append(out, d)
	}
	return out, nil
})

// onEveryAdapter runs f on every adapter of this machine.
func onEveryAdapter(t *testing.T, f func(t *testing.T, dev *gpu.Device)) {
	all, err := devices()
	require.NoError(t, err)
	if len(all) == 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("no adapter: run gpu/install-vulkan.sh")
		}
		t.Skip("no adapter: run gpu/install-vulkan.sh")
	}
	for _, dev := range all {
		t.Run(dev.Adapter().Name, func(t *testing.T) { f(t, dev) })
	}
}

// onMatrixUnits runs f on every adapter with matrix units. Where there have to
// be some, as in make test-matrix, BITNET_MATRIX says so.
func onMatrixUnits(t *testing.T, f func(t *testing.T, dev *gpu.Device)) {
	all, err := devices()
	require.NoError(t, err)
	found := false
	for _, dev := range all {
		if len(graph.UnitsOf(dev.Adapter()).Shapes) > 0 {
			found = true
			t.Run(dev.Adapter().Name, func(t *testing.T) { f(t, dev) })
		}
	}
	if !found {
		if os.Getenv("BITNET_MATRIX") != "" {
			t.Fatal("no adapter with matrix units: look at bitnet devices --backend dawn")
		}
		t.Skip("no adapter with matrix units: make test-matrix brings a software one")
	}
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
