package train

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A run that goes on from an older checkpoint keeps the newer ones, but not as
// its own: neither a later resume nor the pruning takes them for the newest.
func TestSetAside(t *testing.T) {
	run := t.TempDir()
	make := func(names ...string) {
		for _, n := range names {
			require.NoError(t, os.MkdirAll(filepath.Join(run, "checkpoints", n), 0o755))
		}
	}
	var notes []string
	note := func(s string) { notes = append(notes, s) }
	make("step_00000010", "step_00000020", "step_00000030")
	require.NoError(t, setAside(run, 30, note))
	require.Empty(t, notes)
	require.NoError(t, setAside(run, 10, note))
	require.Len(t, notes, 2)
	make("step_00000030")
	require.NoError(t, setAside(run, 20, note))
	entries, err := os.ReadDir(filepath.Join(run, "checkpoints"))
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	require.Equal(t, []string{"aside_step_00000020", "aside_step_00000030", "aside_step_00000030_2", "step_00000010"}, names)
}
