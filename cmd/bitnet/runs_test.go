package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/runs"
)

// someRuns are copies of testdata's run with different sizes and losses.
func someRuns(t *testing.T) (root string) {
	t.Helper()
	root = t.TempDir()
	for _, name := range []string{"alpha", "beta"} {
		require.NoError(t, os.CopyFS(filepath.Join(root, name), os.DirFS("testdata/run/simple")))
	}
	require.NoError(t, os.WriteFile(filepath.Join(root, "beta", "checkpoints", "step_00000010", "model.safetensors"), make([]byte, 3<<20), 0o644))
	require.NoError(t, os.Remove(filepath.Join(root, "beta", "logs", "metrics.jsonl")))
	return root
}

func TestRunsCommand(t *testing.T) {
	root := someRuns(t)
	do := func(args ...string) (string, error) {
		return bitnetOutput(t, append([]string{"runs"}, append(args, "--runs-dir", root)...)...)
	}
	_, err := do("note", "beta", " looks good\nwith a second line ")
	require.NoError(t, err)
	out, err := do("tag", "beta", "paper", "keep")
	require.NoError(t, err)
	require.Equal(t, "keep paper\n", out)
	out, err = do("note", "be")
	require.NoError(t, err)
	require.Equal(t, "looks good\nwith a second line\n", out)

	out, err = do("--sort", "size")
	require.NoError(t, err)
	require.Regexp(t, `(?s)^RUN +EXPERIMENT +STATE +STEP +LOSS +SIZE +STARTED +TAGS +NOTE\nbeta +simple .* - +3(\.\d+)? MiB +20.* keep,paper +looks good \.\.\.\nalpha +simple .*\n2 runs, 3(\.\d+)? MiB\n$`, out)
	out, err = do("--tag", "paper", "--json")
	require.NoError(t, err)
	var list []map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &list))
	require.Len(t, list, 1)
	require.Equal(t, "beta", list[0]["run"])
	require.Equal(t, []any{"keep", "paper"}, list[0]["tags"])
	require.Greater(t, list[0]["size_bytes"], list[0]["checkpoint_bytes"])
	out, err = do("--tag", "nothing")
	require.NoError(t, err)
	require.Contains(t, out, "no run in "+root+" has the tag nothing")
	out, err = do("--sort", "loss")
	require.NoError(t, err)
	require.Regexp(t, `(?s)alpha.*beta`, out, "a run without a loss is last")

	out, err = do("tag", "beta", "keep", "--remove")
	require.NoError(t, err)
	require.Equal(t, "paper\n", out)
	_, err = do("tag", "beta", "keep", "--remove")
	require.ErrorContains(t, err, "has no tag keep; it has: paper")
	_, err = do("tag", "beta", "two words")
	require.ErrorContains(t, err, `tag "two words"`)

	out, err = do("rename", "beta", "gamma")
	require.NoError(t, err)
	require.Equal(t, "beta is now "+filepath.Join(root, "gamma")+"\n", out)
	_, err = do("rename", "gamma", "alpha")
	require.ErrorContains(t, err, "exists")
}

func TestRunsRemove(t *testing.T) {
	root := someRuns(t)
	do := func(args ...string) (string, error) {
		return bitnetOutput(t, append([]string{"runs", "remove", "--runs-dir", root}, args...)...)
	}
	_, err := do("alpha", "beta")
	require.ErrorContains(t, err, "say --yes")
	require.True(t, isUsage(err))
	r, err := runs.Find(root, "beta")
	require.NoError(t, err)
	unlock, err := r.Lock()
	require.NoError(t, err)
	_, err = do("alpha", "beta", "--yes")
	require.ErrorContains(t, err, "is training")
	require.DirExists(t, filepath.Join(root, "alpha"), "nothing is removed if one cannot be")
	unlock()
	out, err := do("alpha", "beta", "alpha", "--yes")
	require.NoError(t, err)
	require.Regexp(t, `^removed .*alpha\nremoved .*beta\n3(\.\d+)? MiB are free\n$`, out)
	entries, err := os.ReadDir(root)
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestRunsPrune(t *testing.T) {
	root := someRuns(t)
	r, err := runs.Find(root, "alpha")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(r.Log("eval"), []byte(`{"step":10,"loss":1,"perplexity":2,"tokens":9}`+"\n"+`{"step":20,"loss":2,"perplexity":4,"tokens":9}`+"\n"), 0o644))
	for _, step := range []int64{10, 11, 20} {
		require.NoError(t, runs.WriteCheckpoint(r.CheckpointDir(step), runs.State{Step: step}, func(tmp string) error {
			return os.WriteFile(filepath.Join(tmp, "model.safetensors"), make([]byte, 1<<20), 0o644)
		}))
	}
	do := func(args ...string) (string, error) {
		return bitnetOutput(t, append([]string{"runs", "prune", "--runs-dir", root}, args...)...)
	}
	out, err := do("alpha", "--dry-run")
	require.NoError(t, err)
	require.Regexp(t, `^alpha: keep step_00000020, step_00000010; remove step_00000011 \(1(\.\d+)? MiB\)\n1(\.\d+)? MiB can be freed\n$`, out, "the last, and the one of the lowest validation loss")
	require.Len(t, r.Checkpoints(), 3)
	_, err = do("alpha")
	require.ErrorContains(t, err, "say --yes")
	for _, args := range [][]string{{}, {"alpha", "--all"}, {"alpha", "--keep", "0"}} {
		_, err = do(args...)
		require.True(t, isUsage(err), args)
	}
	out, err = do("--all", "--yes")
	require.NoError(t, err)
	require.Regexp(t, `freed 1(\.\d+)? MiB\n$`, out)
	require.Len(t, r.Checkpoints(), 2)
	beta, err := runs.Find(root, "beta")
	require.NoError(t, err)
	require.NotEmpty(t, beta.Checkpoints(), "damaged ones stay where there are no others")
}
