package swarm

import (
	"math"
)

// The outer optimizer as DiLoCo found it best (arXiv 2311.08105, section 3) for runs of
// hundreds of rounds: stochastic gradient descent with Nesterov's momentum.
const (
	OuterRate     = 0.7
	OuterMomentum = 0.9
)

// Auto as the rate or the momentum of the outer optimizer leaves the choice to
// Rules.outer.
const Auto = -1

// fewRounds is 1/(1 - momentum) as a share of the rounds of a run, at most: momentum
// averages over so many, and what it carries on at the end is lost.
const fewRounds = 1. / 12

// outer gives rate and momentum for a run of so many steps. By default a run of 120
// rounds or more has those of DiLoCo, and shorter ones less momentum,
//
//	momentum = 1 - 12/rounds,  rate = 1.375 - 0.75 momentum
//
// between 0.9 and 0, 0.7 and 1. (docs/swarm.md has what was measured.)
func (r Rules) outer(steps int64) (rate, momentum float64) {
	rate, momentum = r.OuterRate, r.OuterMomentum
	if momentum == Auto {
		rounds := float64(steps) / float64(r.LocalSteps)
		momentum = min(max(1-1/(fewRounds*rounds), 0), OuterMomentum)
	}
	if rate == Auto {
		rate = min(OuterRate+0.75*(OuterMomentum-momentum), 1)
	}
	return rate, momentum
}

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
