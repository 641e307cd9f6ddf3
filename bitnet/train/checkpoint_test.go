package train

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/modelfile"
)

// What is said before a run about the size of a checkpoint is what it takes, with
// every optimizer, but for the headers of its files.
func TestCheckpointBytes(t *testing.T) {
	dev := modeltest.Device(t)
	sizes := map[string]int64{}
	for _, set := range []string{"optimizer=adamw", "optimizer=muon", "moments=8bit"} {
		c := tiny(t)
		for _, s := range []string{"steps=1", "eval_samples=4", "hidden_size=32", "intermediate_size=64", set} {
			require.NoError(t, c.Set(s))
		}
		m, _, err := Plan(c, dev.Adapter())
		require.NoError(t, err)
		tr := begin(t, c, dev, Start{RunsDir: t.TempDir()}, Events{})
		require.NoError(t, tr.Train(context.Background()))
		var all int64
		for _, name := range []string{modelfile.WeightsName, optimizerName} {
			info, err := os.Stat(filepath.Join(tr.Run.CheckpointDir(1), name))
			require.NoError(t, err)
			all += info.Size()
		}
		sizes[set] = CheckpointBytes(m)
		require.InDelta(t, all, sizes[set], 6000, "%s: the headers", set)
	}
	require.Less(t, sizes["optimizer=muon"], sizes["optimizer=adamw"]*9/10, "no second moment of ternary weights")

	c := tiny(t)
	require.NoError(t, c.Set("lora=r=2"))
	m, _, err := Plan(c, dev.Adapter())
	require.NoError(t, err)
	require.Equal(t, 12*m.Params.Count(), CheckpointBytes(m), "of adapters, without their model")
	require.Less(t, m.Params.Count(), m.Params.Total())
}
