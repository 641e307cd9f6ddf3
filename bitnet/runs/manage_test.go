package runs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLabels(t *testing.T) {
	r := newRun(t, map[string]string{"config.yaml": "name: simple\n"})
	l, err := r.Labels()
	require.NoError(t, err)
	require.Equal(t, Labels{}, l)
	require.NoError(t, r.SetLabels(Labels{Note: "first\nsecond", Tags: []string{"b", "a", "b"}}))
	l, err = r.Labels()
	require.NoError(t, err)
	require.Equal(t, Labels{Note: "first\nsecond", Tags: []string{"a", "b"}}, l)
	for _, bad := range []Labels{{Tags: []string{"a b"}}, {Tags: []string{""}}, {Tags: []string{"../x"}}, {Note: strings.Repeat("a", maxNote+1)}, {Note: "\xff"}, {Note: "a\x00"}} {
		require.Error(t, r.SetLabels(bad))
	}
	require.NoError(t, r.SetLabels(Labels{}))
	require.NoFileExists(t, r.labelsPath())
	for _, damaged := range []string{"{", `{"tags": ["a b"]}`, `{"other": 1}`, `[]`, ""} {
		put(t, r.labelsPath(), damaged)
		_, err := r.Labels()
		require.ErrorContains(t, err, "is damaged: remove it", damaged)
	}
}

func TestSize(t *testing.T) {
	r := newRun(t, map[string]string{"config.yaml": "12345", "checkpoints/step_00000010/model": "1234567", "logs/metrics.jsonl": "123"})
	all, checkpoints := r.Size()
	require.EqualValues(t, 15, all)
	require.EqualValues(t, 7, checkpoints)
	all, _ = (&Run{Dir: filepath.Join(r.Dir, "nowhere")}).Size()
	require.Zero(t, all)
}

func TestRename(t *testing.T) {
	r := newRun(t, map[string]string{"config.yaml": "name: simple\n"})
	root := filepath.Dir(r.Dir)
	put(t, filepath.Join(root, "taken", "config.yaml"), "")
	for name, want := range map[string]string{"taken": "exists", "a_run": "exists", "../x": "cannot be the name", "": "cannot be the name", ".hidden": "cannot be the name"} {
		_, err := r.Rename(name)
		require.ErrorContains(t, err, want, name)
	}
	to, err := r.Rename("other")
	require.NoError(t, err)
	require.Equal(t, filepath.Join(root, "other"), to.Dir)
	require.NoDirExists(t, r.Dir)
	found, err := Find(root, "other")
	require.NoError(t, err)
	require.NoFileExists(t, found.alivePath(), "it does not look as if a process had trained it and was gone")
}

func TestRemove(t *testing.T) {
	r := newRun(t, map[string]string{"config.yaml": "name: simple\n", "checkpoints/step_00000010/model": "x"})
	root := filepath.Dir(r.Dir)
	put(t, filepath.Join(root, removing+"earlier", "config.yaml"), "")
	put(t, filepath.Join(root, "other", "config.yaml"), "")
	require.ErrorContains(t, (&Run{Name: "x", Dir: root}).Remove(), "is not a run")
	require.DirExists(t, root)

	unlock, err := r.Lock()
	require.NoError(t, err)
	require.ErrorContains(t, r.Remove(), "is training")
	require.FileExists(t, filepath.Join(r.Dir, "config.yaml"))
	unlock()

	link := filepath.Join(root, "link")
	if os.Symlink(r.Dir, link) == nil {
		require.ErrorContains(t, (&Run{Name: "link", Dir: link}).Remove(), "is a link")
		require.NoError(t, os.Remove(link))
	}
	require.NoError(t, r.Remove())
	entries, err := os.ReadDir(root)
	require.NoError(t, err)
	require.Len(t, entries, 1, "the run, and what a kill had left, are gone; others stay")
}

func TestSpare(t *testing.T) {
	r := newRun(t, map[string]string{"config.yaml": "name: simple\n", "logs/eval.jsonl": evalLines("4", "1", "2", "0.5", "3")})
	s, err := r.Spare(1)
	require.NoError(t, err)
	require.Empty(t, s.Remove, "there are no checkpoints")

	for _, step := range []int64{10, 20, 30, 40, 50, 60} {
		save(t, r, step, fmt.Sprint("model ", step))
	}
	dir := func(step int64) string { return r.CheckpointDir(step) }
	put(t, filepath.Join(dir(60), "model"), "damaged")
	put(t, filepath.Join(dir(40), "model"), "damaged") // the best one
	put(t, filepath.Join(r.checkpointsDir(), "aside_step_00000070", "model"), "0123456789")

	s, err = r.Spare(1)
	require.NoError(t, err)
	require.Equal(t, []string{dir(50), dir(20)}, s.Keep, "the last whole one, and the best whole one")
	require.Equal(t, []string{dir(60), dir(40), dir(30), dir(10), filepath.Join(r.checkpointsDir(), "aside_step_00000070")}, s.Remove)
	require.Equal(t, []string{dir(60), dir(40)}, s.Damaged)
	var want int64
	for _, d := range s.Remove {
		want += folderSize(d)
	}
	require.Equal(t, want, s.Bytes)

	wider, err := r.Spare(2)
	require.NoError(t, err)
	require.Equal(t, []string{dir(50), dir(30), dir(20)}, wider.Keep)

	unlock, err := r.Lock()
	require.NoError(t, err)
	_, err = r.RemoveSpare(1)
	require.ErrorContains(t, err, "is training")
	unlock()
	require.Len(t, checkpointNames(t, r), 7)

	done, err := r.RemoveSpare(1)
	require.NoError(t, err)
	require.Equal(t, s, done)
	require.Equal(t, []string{"step_00000020", "step_00000050"}, checkpointNames(t, r))
	again, err := r.RemoveSpare(1)
	require.NoError(t, err)
	require.Empty(t, again.Remove)
}

// A run whose checkpoints are all damaged keeps them.
func TestSpareOfADamagedRun(t *testing.T) {
	r := newRun(t, map[string]string{"config.yaml": "name: simple\n"})
	for _, step := range []int64{10, 20} {
		put(t, filepath.Join(save(t, r, step, "x"), "model"), "damaged")
	}
	s, err := r.RemoveSpare(1)
	require.NoError(t, err)
	require.Empty(t, s.Remove)
	require.Len(t, checkpointNames(t, r), 2)
}
