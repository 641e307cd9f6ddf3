package runs

import (
	"math"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSwarmFile(t *testing.T) {
	r, err := Create(t.TempDir(), "r", []byte("name: x\n"))
	require.NoError(t, err)
	s, err := r.Swarm()
	require.NoError(t, err)
	require.Nil(t, s, "a run that trains alone has none")
	want := &Swarm{
		Name: "main", ID: "ab", Phase: SwarmTraining, Round: 3, Steps: 10, At: time.Unix(1e9, 0).UTC(), Me: "a",
		Workers: []SwarmWorker{{Name: "a", Here: true, Steps: 7}}, Rounds: []SwarmRound{{Round: 2, Loss: Number(math.NaN()), LeftOut: []string{"b: it left"}}},
	}
	require.NoError(t, r.WriteSwarm(want))
	got := r.Info().Swarm
	require.NotNil(t, got)
	require.Equal(t, want.Workers, got.Workers)
	require.True(t, math.IsNaN(float64(got.Rounds[0].Loss)), "a round without workers has no loss")
	require.NoError(t, os.WriteFile(r.SwarmPath(), []byte("{"), 0o644))
	_, err = r.Swarm()
	require.ErrorContains(t, err, "damaged")
	require.Nil(t, r.Info().Swarm)
}

// Whatever the file holds, status and the page get a list of workers.
func FuzzSwarm(f *testing.F) {
	f.Add([]byte(`{"name":"main","workers":[{"name":"a"}],"rounds":[{"loss":null}]}`))
	f.Add([]byte(`{"workers":null}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		r := &Run{Name: "r", Dir: dir}
		require.NoError(t, os.WriteFile(r.SwarmPath(), text, 0o644))
		if s, err := r.Swarm(); err == nil {
			require.NotNil(t, s.Workers)
			require.NoError(t, r.WriteSwarm(s))
		}
	})
}
