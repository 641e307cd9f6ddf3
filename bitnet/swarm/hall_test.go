package swarm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/runs"
	"bitnet/bitnet/train"
)

// hall is a swarm in this process without a meeting point: its workers train one
// after another, each on its part of the data, so that all is the same in every run.
type hall struct {
	rules  Rules
	exact  bool                          // changes travel in float64: to see what int8 costs
	killed func(round int64, i int) bool // says which workers are killed in a round, lose it, and join again as new ones; nil for none
	turns  []chan bool                   // whose turn it is

	outer       *outer
	mean        []float64 // of exact changes
	shares      []share
	round, step int64
	total       int64
	samples     int64 // of a step
	next        int64 // sample
}

// mate is a worker of a hall.
type mate struct {
	h     *hall
	i     int
	start []float32 // weights at the beginning of the round
	rest  []float32
	local int
}

func (m *mate) Join(_ context.Context, j *train.Joining) (*train.Round, error) {
	h := m.h
	if h.outer == nil {
		h.outer = newOuter(append([]float32(nil), j.Weights...))
		h.total, h.samples = j.Steps, j.StepSamples
	}
	return m.take(), nil
}

func (m *mate) Due(steps int) bool { return steps >= m.local }
func (m *mate) Leave()             {}

func (m *mate) take() *train.Round {
	h := m.h
	m.local = int(min(h.rules.localAt(h.step), h.total-h.step))
	r := &train.Round{Number: h.round, Step: h.step, Steps: m.local, Weights: append([]float32(nil), h.outer.weights...)}
	need := int64(m.local) * h.samples
	r.Parts = [][2]int64{{h.next, h.next + need}}
	h.next += need
	m.start = r.Weights
	return r
}

func (m *mate) Exchange(_ context.Context, l train.Local) (*train.Round, error) {
	h := m.h
	killed := h.killed != nil && h.killed(h.round, m.i)
	if !killed {
		if err := m.give(l.Weights, l.Steps); err != nil {
			return nil, err
		}
	}
	if m.i == len(h.turns)-1 {
		if err := h.end(l.Steps); err != nil {
			return nil, err
		}
	}
	h.turns[(m.i+1)%len(h.turns)] <- true
	<-h.turns[m.i]
	if killed {
		return nil, errKilled
	}
	return m.take(), nil
}

// errKilled ends the run of a worker that is killed.
var errKilled = errors.New("killed")

// give sends a change.
func (m *mate) give(weights []float32, steps int) error {
	h, n := m.h, len(weights)
	s := share{steps: steps}
	if h.exact {
		if h.mean == nil {
			h.mean = make([]float64, n)
		}
		for i, x := range weights {
			h.mean[i] += float64(m.start[i]) - float64(x)
		}
	} else {
		if m.rest == nil {
			m.rest = make([]float32, n)
		}
		d := make([]float32, n)
		for i := range d {
			d[i] = m.start[i] - weights[i]
		}
		s.bytes = make([]byte, blocksLen(n))
		if err := encodeBlocks(s.bytes, d, m.rest); err != nil {
			return err
		}
	}
	h.shares = append(h.shares, s)
	return nil
}

// end ends a round.
func (h *hall) end(steps int) error {
	rate, momentum := h.rules.outer(h.total)
	if h.exact {
		o := h.outer
		for i, x := range h.mean {
			x /= float64(len(h.shares))
			v := momentum*float64(o.velocity[i]) + x
			o.velocity[i], o.weights[i] = float32(v), float32(float64(o.weights[i])-rate*(x+momentum*v))
		}
		h.mean = nil
	} else if _, _, err := h.outer.step(h.shares, rate, momentum); err != nil {
		return err
	}
	h.shares = nil
	h.step += int64(steps)
	h.round++
	return nil
}

// train trains a configuration on n workers, and gives the evaluations of the first.
// Without a hall it is a run alone.
func (h *hall) train(t testing.TB, n int, c *train.Config) (evals []runs.Eval) {
	dev, dir := modeltest.Device(t), t.TempDir()
	errs := make([]error, n)
	var all sync.WaitGroup
	turns := make([]chan bool, n)
	for i := range turns {
		turns[i] = make(chan bool, 1)
	}
	one := func(i, life int) error {
		start, own := train.Start{RunsDir: dir, RunID: fmt.Sprintf("w%d-%d", i, life)}, *c
		var events train.Events
		if h != nil {
			start.Peers = &mate{h: h, i: i}
		}
		if i == 0 {
			events.Eval = func(e runs.Eval) { evals = append(evals, e) }
		} else {
			own.Output.EvalInterval, own.Output.EvalSamples = 0, 1
		}
		job, err := train.Prepare(context.Background(), &own, start, events)
		if err != nil {
			return err
		}
		tr, err := job.Begin(context.Background(), dev)
		if err != nil {
			return err
		}
		defer tr.Close()
		return tr.Train(context.Background())
	}
	if h != nil {
		h.turns = turns
	}
	for i := range n {
		all.Go(func() {
			<-turns[i]
			errs[i] = errKilled
			for life := 0; errors.Is(errs[i], errKilled); life++ {
				errs[i] = one(i, life)
			}
			turns[(i+1)%n] <- true
		})
	}
	turns[0] <- true
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	return evals
}

// loss is the validation loss of the last evaluation.
func loss(evals []runs.Eval) float64 { return float64(evals[len(evals)-1].Loss) }

// TestStudy trains as its variables say, and prints validation losses: testdata/swarm/study.sh
// makes the tables of docs/swarm.md with it.
//
//	BITNET_STUDY     settings of the experiment text, such as source=text:PATH steps=3000
//	BITNET_WORKERS   of a swarm; 0 (default) for one run alone, which with grad_accum=N is synchronous
//	BITNET_RULES     local steps, steps over which rounds grow, outer rate, outer momentum (-1: by the number of rounds)
//	BITNET_CHANGES   exact for float32
//	BITNET_KILL      1: in every third round a worker other than the first is killed, and joins again as a new one
func TestStudy(t *testing.T) {
	settings := os.Getenv("BITNET_STUDY")
	if settings == "" {
		t.Skip("a study that takes minutes: BITNET_STUDY names its settings")
	}
	c, err := train.Preset("text")
	require.NoError(t, err)
	for _, s := range append(strings.Fields("vocab_size=320 hidden_size=32 intermediate_size=96 num_attention_heads=2 num_key_value_heads=1 num_hidden_layers=2 "+
		"max_position_embeddings=64 seq_len=64 batch_size=8 warmup_steps=50 held_out=0.05 eval_samples=800 eval_interval=500 sample_interval=0 "+
		"checkpoint_interval=0 checkpoint_minutes=0 keep_checkpoints=1 prompts=[] precision=f32"), strings.Fields(settings)...) {
		require.NoError(t, c.Set(s), s)
	}
	var h *hall
	n := 0
	fmt.Sscan(os.Getenv("BITNET_WORKERS"), &n)
	if n > 0 {
		h = &hall{rules: DefaultRules(), exact: os.Getenv("BITNET_CHANGES") == "exact"}
		_, err := fmt.Sscan(os.Getenv("BITNET_RULES"), &h.rules.LocalSteps, &h.rules.GrowSteps, &h.rules.OuterRate, &h.rules.OuterMomentum)
		require.NoError(t, err, "BITNET_RULES")
		if os.Getenv("BITNET_KILL") == "1" {
			h.killed = func(round int64, i int) bool { return round%3 == 2 && i == 1+int(round/3)%(n-1) }
		}
	}
	for _, e := range h.train(t, max(n, 1), c) {
		fmt.Printf("step %d: %.4f\n", e.Step, float64(e.Loss))
	}
	if h != nil {
		fmt.Printf("%d rounds\n", h.round)
	}
}

// A swarm of one worker whose changes are applied as they are is a run alone, but for
// what int8 rounds: to the bit without it.
func TestOneWorkerIsARunAlone(t *testing.T) {
	modeltest.Device(t)
	c := tiny(t)
	require.NoError(t, c.Set("steps=20"))
	var none *hall
	alone := none.train(t, 1, c)
	rules := Rules{LocalSteps: 7, GrowSteps: 10, OuterRate: 1}
	exact := (&hall{rules: rules, exact: true}).train(t, 1, c)
	require.Len(t, exact, len(alone))
	require.Equal(t, loss(alone), loss(exact))
	rounded := (&hall{rules: rules}).train(t, 1, c)
	t.Logf("alone %.5f, exact %.5f, int8 %.5f", loss(alone), loss(exact), loss(rounded))
	require.InEpsilon(t, loss(alone), loss(rounded), 0.02)
}

// A hall is the swarm: a worker with a meeting point learns the same to the bit.
func TestHallIsTheSwarm(t *testing.T) {
	modeltest.Device(t)
	c := tiny(t)
	require.NoError(t, c.Set("steps=20"))
	rules := DefaultRules()
	rules.LocalSteps, rules.GrowSteps, rules.OuterRate, rules.OuterMomentum = 6, 10, 0.7, 0.5
	rules.Patience, rules.Silence = time.Minute, time.Minute
	h := &hall{rules: rules}
	want := loss(h.train(t, 1, c))
	r, err := trainer(t, serve(t, ServeOptions{Rules: rules, Dir: t.TempDir()}), "a", t.TempDir(), c, train.Start{})
	require.NoError(t, err)
	st, err := r.Status()
	require.NoError(t, err)
	require.Equal(t, want, float64(st.Eval.Loss))
	sw, err := r.Swarm()
	require.NoError(t, err)
	require.Equal(t, h.round, sw.Round)
}

// A worker that is killed in every third round and joins again costs its rounds: the others go on,
// and its moments are gone.
func TestKilledWorkers(t *testing.T) {
	modeltest.Device(t)
	c := tiny(t)
	require.NoError(t, c.Set("steps=20"))
	rules := Rules{LocalSteps: 2, OuterRate: 1}
	whole := &hall{rules: rules}
	all := loss(whole.train(t, 3, c))
	kills := 0
	h := &hall{rules: rules, killed: func(round int64, i int) bool {
		killed := round%3 == 2 && i == 1+int(round/3)%2
		if killed {
			kills++
		}
		return killed
	}}
	got := loss(h.train(t, 3, c))
	require.EqualValues(t, 10, h.round)
	require.Equal(t, 3, kills)
	t.Logf("all %.4f, with a worker killed in every third round %.4f", all, got)
	require.NotEqual(t, all, got)
	require.InEpsilon(t, all, got, 0.02)
}

// The momentum is what the number of rounds can bear, and what the user says goes.
func TestOuterOptimizerByRounds(t *testing.T) {
	r := DefaultRules()
	r.LocalSteps = 50
	for steps, want := range map[int64][2]float64{1: {1, 0}, 500: {1, 0}, 1200: {1, 0.5}, 3000: {0.775, 0.8}, 6000: {0.7, 0.9}, 1e9: {0.7, 0.9}} {
		rate, momentum := r.outer(steps)
		require.InDelta(t, want[0], rate, 1e-9, "%d steps", steps)
		require.InDelta(t, want[1], momentum, 1e-9, "%d steps", steps)
	}
	r.OuterRate, r.OuterMomentum = 0.3, 0.2
	rate, momentum := r.outer(6000)
	require.Equal(t, [2]float64{0.3, 0.2}, [2]float64{rate, momentum})
	require.NoError(t, r.Check())
	require.NoError(t, DefaultRules().Check())
	r.OuterRate = -0.5
	require.Error(t, r.Check())
}

// Rounds grow from one local step to all.
func TestRoundsGrow(t *testing.T) {
	r := Rules{LocalSteps: 50, GrowSteps: 1200}
	for step, want := range map[int64]int64{0: 1, 47: 1, 48: 2, 600: 25, 1199: 49, 1200: 50, 1 << 40: 50} {
		require.Equal(t, want, r.localAt(step), "step %d", step)
	}
	r.GrowSteps = 0
	require.EqualValues(t, 50, r.localAt(0))
}
