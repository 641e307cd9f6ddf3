package train

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/runs"
)

// A run whose directory is removed, or replaced by another one, ends with its
// weights saved next to it.
func TestRunDirectoryIsRemoved(t *testing.T) {
	dev := modeltest.Device(t)
	for _, replaced := range []bool{false, true} {
		dir := t.TempDir()
		var tr *Trainer
		tr = begin(t, tiny(t), dev, Start{RunsDir: dir, RunID: "run"}, Events{Metrics: func(m runs.Metrics) {
			if m.Step == 6 {
				require.NoError(t, os.RemoveAll(tr.Run.Dir))
				if replaced {
					require.NoError(t, os.Mkdir(tr.Run.Dir, 0o755))
				}
			}
		}})
		err := tr.Train(context.Background())
		require.ErrorContains(t, err, "was removed during training")
		require.ErrorContains(t, err, "--resume "+filepath.Join(dir, "run_rescued_1"))
		from, state, err := FindCheckpoint(filepath.Join(dir, "run_rescued_1"), func(s string) { t.Error(s) })
		require.NoError(t, err)
		require.EqualValues(t, 7, state.Step, "the next line of metrics notices it")
		require.FileExists(t, filepath.Join(from, "model.safetensors"))
	}
}
