package swarm

import (
	"math"
)

// Defaults of the outer optimizer, as DiLoCo found them best (arXiv 2311.08105,
// section 3): stochastic gradient descent with Nesterov's momentum.
const (
	OuterRate     = 0.7
	OuterMomentum = 0.9
)

// outer is the outer optimizer with the weights that it changes.
type outer struct {
	weights  []float32 // w
	velocity []float32 // v
	rest     []float32 // of the outer updates so far, what int8 did not say
}

func newOuter(weights []float32) *outer {
	return &outer{weights: weights, velocity: make([]float32, len(weights)), rest: make([]float32, len(weights))}
}

// share is a worker's change of the weights.
type share struct {
	steps int // local steps
	bytes []byte
}

// step applies the mean of the changes, weighted by local steps:
//
//	g = sum(n_i d_i) / sum(n_i);  v = momentum v + g;  u = rate (g + momentum v)
//	w = w - Q(u + rest)
//
// It gives Q(u + rest), which workers apply to their copy of the weights, and its
// norm. The result depends on the order of shares only through rounding: callers
// sort them.
func (o *outer) step(shares []share, rate, momentum float64) (change []byte, norm float64, err error) {
	total := 0
	for _, s := range shares {
		total += s.steps
	}
	g := make([]float32, len(o.weights))
	for _, s := range shares {
		addBlocks(g, s.bytes, float32(float64(s.steps)/float64(total)))
	}
	for i, x := range g {
		o.velocity[i] = float32(float32(momentum)*o.velocity[i]) + x
		g[i] = float32(rate) * (x + float32(float32(momentum)*o.velocity[i]))
	}
	change = make([]byte, blocksLen(len(g)))
	if err := encodeBlocks(change, g, o.rest); err != nil {
		return nil, 0, err
	}
	addBlocks(o.weights, change, -1)
	sum := 0.0
	for _, x := range g {
		sum += float64(x) * float64(x)
	}
	return change, math.Sqrt(sum), nil
}
