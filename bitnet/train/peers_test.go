package train

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/runs"
	"bitnet/data"
)

// What gives access to a swarm is not stored with a run.
func TestWithoutSecrets(t *testing.T) {
	require.Equal(t,
		[]string{"bitnet", "train", "--swarm", "nats://...@host:4222", "--swarm-token", "...", "--swarm-token=...", "--exp", "simple"},
		withoutSecrets([]string{"bitnet", "train", "--swarm", "nats://me:secret@host:4222", "--swarm-token", "secret", "--swarm-token=secret", "--exp", "simple"}))
}

// echo is a swarm of one worker and one that is twice as fast: each round moves on by
// ten steps after five of this worker.
type echo struct {
	joined *Joining
	round  Round
	locals []Local
	left   bool
	fail   error
}

func (e *echo) Join(_ context.Context, j *Joining) (*Round, error) {
	e.joined = j
	e.round = Round{Steps: 10, Parts: [][2]int64{{100, 108}, {300, 400}}, Weights: append([]float32(nil), j.Weights...)}
	return &e.round, nil
}

func (e *echo) Due(steps int) bool { return steps == 5 }

func (e *echo) Exchange(_ context.Context, l Local) (*Round, error) {
	if e.fail != nil {
		return nil, e.fail
	}
	e.locals = append(e.locals, l)
	next := Round{Number: e.round.Number + 1, Step: e.round.Step + 10, Steps: 10, Tokens: 1000, Parts: [][2]int64{{500, 600}}, Weights: append([]float32(nil), l.Weights...)}
	if next.Step == 30 {
		next.Steps = 0
	}
	e.round = next
	return &e.round, nil
}

func (e *echo) Leave() { e.left = true }

// A run follows the schedule of its swarm, reads its own parts of the data, and
// counts for its optimizer only what it did itself.
func TestRunFollowsItsSwarm(t *testing.T) {
	c := tiny(t)
	require.NoError(t, c.Set("log_interval=10"))
	require.NoError(t, c.Set("pack=false"))
	require.NoError(t, c.Set("checkpoint_interval=10"))
	e := &echo{}
	var tr *Trainer
	var at []data.Position
	tr = begin(t, c, modeltest.Device(t), Start{RunsDir: t.TempDir(), RunID: "r", Peers: e}, Events{Step: func(int64) {
		at = append(at, tr.task.Train().Position())
	}})
	require.NoError(t, tr.Train(t.Context()))
	require.True(t, e.left)
	require.EqualValues(t, 30, tr.Step())
	require.Len(t, e.locals, 3)
	require.EqualValues(t, 4, e.joined.StepSamples, "2 micro-batches of 2 rows")
	require.Equal(t, "16", e.joined.Agreement["model.hidden_size"])
	require.NotContains(t, e.joined.Agreement, "train.batch_size")
	for i, want := range []int64{104, 108, 304, 308, 312, 504, 508, 512, 516, 520, 504} {
		require.Equal(t, data.Position{Offset: want}, at[i], "step %d", i)
	}
	require.EqualValues(t, 15, tr.state.Absent, "of 30 steps it made 15")
	for _, step := range []int64{10, 20, 30} { // which it passed by in a jump
		_, err := runs.ReadState(tr.Run.CheckpointDir(step))
		require.NoError(t, err)
	}
	for _, m := range metricsOf(t, tr.Run.Dir) {
		require.Positive(t, m.Get(runs.LossMean), "step %d", m.Step)
	}
	state, err := runs.ReadState(tr.Run.CheckpointDir(30))
	require.NoError(t, err)
	require.EqualValues(t, 15, state.Absent)
	require.EqualValues(t, 1000, state.TokensSeen)
}

// A worker that joins after the warm-up raises its learning rate over its own first steps; alone, in
// the warm-up, and after those steps a run has the schedule's.
func TestNewcomersWarmUp(t *testing.T) {
	c := tiny(t)
	c.Train.Steps, c.Train.WarmupSteps = 1000, 50
	tr := &Trainer{Config: *c, state: runs.State{Absent: 300}}
	tr.peers.Peers = &echo{}
	for step, want := range map[int64]float64{300: 1. / newcomerSteps, 304: 5. / newcomerSteps, 319: 1, 320: 1, 900: 1} {
		require.InEpsilon(t, want*c.Train.learningRate(step), tr.learningRate(step), 1e-12, "step %d", step)
	}
	c = &tr.Config
	c.Train.WarmupSteps = 4 // as short as the run's own
	require.InEpsilon(t, 0.5*c.Train.learningRate(301), tr.learningRate(301), 1e-12)
	require.Equal(t, c.Train.learningRate(304), tr.learningRate(304))
	c.Train.WarmupSteps, tr.state.Absent = 50, 0
	for _, step := range []int64{0, 10, 49, 50} {
		require.Equal(t, c.Train.learningRate(step), tr.learningRate(step), "step %d of the founder", step)
	}
	tr.state.Absent, tr.peers.Peers = 300, nil
	require.Equal(t, c.Train.learningRate(300), tr.learningRate(300))
}

// A swarm that can no longer be reached for good ends the run with its error.
func TestRunEndsWithItsSwarm(t *testing.T) {
	e := &echo{fail: errors.New("the meeting point says: no")}
	tr := begin(t, tiny(t), modeltest.Device(t), Start{RunsDir: t.TempDir(), RunID: "r", Peers: e}, Events{})
	require.ErrorContains(t, tr.Train(t.Context()), "the meeting point says: no")
	require.True(t, e.left)
}

// Settings that differ are in the agreement; what each machine may choose is not.
func TestAgreement(t *testing.T) {
	a, b := tiny(t), tiny(t)
	require.NoError(t, b.Set("batch_size=4"))
	require.NoError(t, b.Set("grad_accum=1"))
	require.NoError(t, b.Set("precision=f32"))
	require.NoError(t, b.Set("data.dir=/somewhere"))
	require.Equal(t, a.agreement(nil), b.agreement(nil))
	for _, s := range []string{"hidden_size=8", "learning_rate=1e-5", "seed=3", "steps=31", "data.source=tictactoe", "pack=false", "optimizer=muon", "schedule=cosine", "rope_theta=100"} {
		c := tiny(t)
		require.NoError(t, c.Set(s))
		require.NotEqual(t, a.agreement(nil), c.agreement(nil), s)
	}
	require.Empty(t, a.Disagreement(b))
	c := tiny(t)
	require.NoError(t, c.Set("hidden_size=8"))
	require.Equal(t, "model.hidden_size is 8 here and 16 in the swarm", c.Disagreement(a))
	c = tiny(t)
	require.NoError(t, c.Set("batch_size=3"))
	require.Contains(t, c.Disagreement(a), "a step has")
	require.NoError(t, b.Set("data.source=text:/home/me/private.txt"))
	require.Equal(t, "text:", b.shared().Data.Source, "paths stay here")
	require.Empty(t, b.shared().Data.Dir)
	require.NoError(t, b.Set("data.source=text:tinystories"))
	require.Equal(t, "text:tinystories", b.shared().Data.Source)
}
