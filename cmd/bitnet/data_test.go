package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/data/shard"
)

// runData gives what `bitnet data args` prints.
func runData(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := dataCommand()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	err = cmd.ExecuteContext(t.Context())
	return out.String(), errs.String(), err
}

// A hub cache that another program filled in part is not a data set, unless the
// user says so.
func TestDataPartial(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HF_HUB_CACHE", filepath.Join(dir, "hub"))
	t.Setenv("HF_HUB_OFFLINE", "1")
	repo := filepath.Join(dir, "hub", "datasets--org--set")
	commit := strings.Repeat("a", 40)
	for name, content := range map[string]string{
		"refs/main": commit, "snapshots/" + commit + "/1.jsonl": strings.Repeat("{\"text\":\"the cat\"}\n", 50) + "{\"text\":\"the dog\"}\n",
	} {
		path := filepath.Join(repo, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	tok := filepath.Join(dir, "tokenizer")
	_, _, err := runTokenizer("", "train", repo, "--vocab-size", "270", "--output", tok)
	require.NoError(t, err)
	args := []string{"prepare", "hub:org/set", "-t", tok, "--output", filepath.Join(dir, "shards")}
	_, _, err = runData(t, args...)
	require.ErrorContains(t, err, "some may be missing")
	require.ErrorContains(t, err, "--partial")
	require.NoDirExists(t, filepath.Join(dir, "shards"))
	printed, errs, err := runData(t, append(args, "--partial")...)
	require.NoError(t, err)
	require.Contains(t, printed, "complete")
	require.Contains(t, errs, "continuing with the 1 file (1.jsonl) in the cache")
}

func TestDataCommand(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "stories.jsonl")
	var lines strings.Builder
	for i := range 300 {
		fmt.Fprintf(&lines, "{\"story\":\"Tale %d of a cat on a mat.\"}\n", i)
	}
	require.NoError(t, os.WriteFile(in, []byte(lines.String()), 0o644))
	tok := filepath.Join(dir, "tokenizer")
	_, _, err := runTokenizer("", "train", in, "--field", "story", "--vocab-size", "280", "--output", tok)
	require.NoError(t, err)
	other := filepath.Join(dir, "other")
	_, _, err = runTokenizer("", "train", in, "--field", "story", "--vocab-size", "270", "--output", other)
	require.NoError(t, err)
	out := filepath.Join(dir, "shards")
	prepare := []string{"prepare", in, "--field", "story", "-t", tok, "--output", out}

	printed, errs, err := runData(t, append(prepare, "--dry-run")...)
	require.NoError(t, err)
	require.Empty(t, printed)
	require.Contains(t, errs, "text: 1 files")
	require.Contains(t, errs, "token shards: about")
	require.NoDirExists(t, out)

	printed, _, err = runData(t, prepare...)
	require.NoError(t, err)
	require.Contains(t, printed, "1 in "+out+", complete")
	m, err := shard.ReadManifest(out)
	require.NoError(t, err)
	train, val, _ := m.Totals()
	require.EqualValues(t, 300, train.Documents+val.Documents)
	require.NotZero(t, val.Documents)

	printed, _, err = runData(t, "info", out, "--verify", "--sample", "2", "-t", tok)
	require.NoError(t, err)
	require.Contains(t, printed, "all shards are intact")
	require.Contains(t, printed, `"<s>Tale 0 of a cat on a mat.</s>"`)
	require.Equal(t, 2, strings.Count(printed, "<s>Tale"))

	for want, args := range map[string][]string{
		"needs --tokenizer":          {"info", out, "--sample", "1"},
		"a different tokenizer than": {"info", out, "--sample", "1", "-t", other},
		"a different tokenizer":      {"prepare", in, "--field", "story", "-t", other, "--output", out},
		"no field \"text\"":          {"prepare", in, "-t", tok, "--output", filepath.Join(dir, "new")},
		"neither a preset":           {"prepare", filepath.Join(dir, "none"), "-t", tok, "--output", out},
		"holds no token shards":      {"info", dir},
	} {
		_, _, err := runData(t, args...)
		require.ErrorContains(t, err, want)
	}
	for want, args := range map[string][]string{
		"name a data set": {"prepare", "-t", tok, "--output", out},
		"--max-document":  append(prepare, "--max-document", "999999999999"),
		"--held-out":      append(prepare, "--held-out", "0.9"),
		"--shard-tokens":  append(prepare, "--shard-tokens", "5"),
		"one DIR":         {"info"},
	} {
		_, _, err := runData(t, args...)
		var u usageError
		require.True(t, errors.As(err, &u), "%v", err)
		require.ErrorContains(t, err, want)
	}

	require.NoError(t, os.WriteFile(filepath.Join(out, m.Shards[0].Train.Name), make([]byte, 500), 0o644))
	_, _, err = runData(t, "info", out, "--verify")
	require.ErrorContains(t, err, m.Shards[0].Train.Name)
}
