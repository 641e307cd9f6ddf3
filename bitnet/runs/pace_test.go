package runs

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The first step compiles and takes a minute, the others a second each: from
// the tenth step on, and before, the time left is that of the others.
func TestPaceWithoutTheFirstStep(t *testing.T) {
	var p Pace
	at := time.Unix(1000, 0).Add(time.Minute)
	require.Zero(t, p.Left(100))
	p.Observe(1, at)
	require.Zero(t, p.Left(100), "one step says nothing")
	for step := int64(2); step <= 10; step++ {
		at = at.Add(time.Second)
		p.Observe(step, at)
		require.Equal(t, 90*time.Second, p.Left(90))
	}
	require.Equal(t, time.Second, p.Step())
	p.Observe(11, at.Add(time.Minute)) // a checkpoint
	require.Equal(t, 90*time.Second, p.Left(90))
	require.Zero(t, p.Left(-5))
}

// Steps are handed to a device in no time, until one waits for all of them.
func TestPaceOfQueuedSteps(t *testing.T) {
	p := Pace{Least: time.Second}
	at := time.Unix(1000, 0)
	for step := int64(1); step <= 200; step++ {
		at = at.Add(time.Millisecond)
		if step%10 == 0 {
			at = at.Add(10 * time.Second)
		}
		p.Observe(step, at)
	}
	require.InDelta(t, 1, p.Step().Seconds(), 0.01)
	p.Observe(150, at) // rolled back
	p.Observe(160, at.Add(10*time.Second))
	require.InDelta(t, 1, p.Step().Seconds(), 0.01)
}

// Status says the same from the lines of a log, whose first holds the compiling.
func TestPaceOfLines(t *testing.T) {
	first := `{"step":10,"loss":9,"loss_mean":9,"step_time_ms":60000,"tokens_per_sec":1}` + "\n"
	r := newRun(t, map[string]string{"config.yaml": "train: {steps: 40}\n", "logs/metrics.jsonl": first})
	require.Zero(t, r.Info().Left)
	appendTo(t, r.Log("metrics"), `{"step":20,"loss":9,"loss_mean":9,"step_time_ms":100,"tokens_per_sec":640}`+"\n")
	i := r.Info()
	require.Equal(t, 2*time.Second, i.Left)
	require.Equal(t, 30050., i.Medians.Get(StepTimeMS))
	// Long after, the window holds the last lines alone.
	appendTo(t, r.Log("metrics"), metricsLines(21, 39))
	require.Equal(t, 10*time.Millisecond, r.Info().Left)
}
