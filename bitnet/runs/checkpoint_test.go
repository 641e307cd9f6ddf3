package runs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/data"
)

// save writes a checkpoint of a step with two files.
func save(t *testing.T, r *Run, step int64, model string) string {
	dir := r.CheckpointDir(step)
	s := State{Step: step, TokensSeen: 64 * step, Position: data.Position{Epoch: 1, Offset: 3}, Seed: 1<<64 - 1, Recent: Recent{Loss: []float32{2.5, 0.1}, Norm: []float32{1, 8.023385}, Divergence: []float32{0.25, 0.125}}}
	require.NoError(t, WriteCheckpoint(dir, s, func(tmp string) error {
		return errors.Join(os.WriteFile(filepath.Join(tmp, "model"), []byte(model), 0o644), os.WriteFile(filepath.Join(tmp, "optimizer"), []byte("o"), 0o644))
	}))
	return dir
}

func checkpointNames(t *testing.T, r *Run) (names []string) {
	entries, err := os.ReadDir(filepath.Join(r.Dir, "checkpoints"))
	require.NoError(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestCheckpoint(t *testing.T) {
	r := newRun(t, nil)
	dir := save(t, r, 7, "weights")
	s, err := ReadState(dir, "model", "optimizer")
	require.NoError(t, err)
	require.EqualValues(t, 7, s.Step)
	require.EqualValues(t, uint64(1<<64-1), s.Seed)
	require.Equal(t, []float32{1, 8.023385}, s.Recent.Norm)
	require.Len(t, s.Files, 2)
	require.NotEmpty(t, s.Sum)
	_, err = ReadState(dir, "tokenizer")
	require.ErrorContains(t, err, "does not list tokenizer")
	require.Equal(t, []string{"step_00000007"}, checkpointNames(t, r))

	// A checkpoint that exists is replaced, and a failure leaves it as it was.
	save(t, r, 7, "better weights")
	text, err := os.ReadFile(filepath.Join(dir, "model"))
	require.NoError(t, err)
	require.Equal(t, "better weights", string(text))
	require.Error(t, WriteCheckpoint(dir, State{Step: 7}, func(string) error { return errors.New("no") }))
	require.Error(t, WriteCheckpoint(dir, State{Step: 7}, func(tmp string) error { return os.Mkdir(filepath.Join(tmp, "folder"), 0o755) }))
	require.Error(t, WriteCheckpoint(dir, State{Step: 7, Recent: Recent{Loss: []float32{1}}}, func(string) error { return nil }), "it could not be resumed")
	_, err = ReadState(dir, "model")
	require.NoError(t, err)
	require.Equal(t, []string{"step_00000007"}, checkpointNames(t, r))
}

// A loss of power after a checkpoint was written must find it whole: its folder
// is synced when all is in it and before it gets its name, the folder around it
// afterwards.
func TestCheckpointIsSynced(t *testing.T) {
	r := newRun(t, nil)
	dir := r.CheckpointDir(7)
	var synced []string
	old := syncDir
	t.Cleanup(func() { syncDir = old })
	syncDir = func(path string) error {
		what := filepath.Base(path)
		if strings.HasPrefix(what, writing) {
			what = "temporary"
			for _, name := range []string{"model", "optimizer", stateName} {
				require.FileExists(t, filepath.Join(path, name))
			}
			require.NoDirExists(t, dir)
		} else {
			require.DirExists(t, dir)
		}
		synced = append(synced, what)
		return old(path)
	}
	save(t, r, 7, "weights")
	require.Equal(t, []string{"temporary", "checkpoints"}, synced)
}

// A process that is killed while it replaces a checkpoint leaves one of them.
func TestKilledWhileReplacing(t *testing.T) {
	r := newRun(t, nil)
	dir := save(t, r, 7, "weights")
	require.NoError(t, os.Rename(dir, filepath.Join(filepath.Dir(dir), replaced+filepath.Base(dir))))
	for _, name := range []string{writing + "1", removing + "step_00000003"} {
		require.NoError(t, os.Mkdir(filepath.Join(filepath.Dir(dir), name), 0o755))
	}
	require.NoError(t, r.Sweep())
	_, err := ReadState(dir)
	require.NoError(t, err)
	require.NoError(t, os.CopyFS(filepath.Join(filepath.Dir(dir), replaced+filepath.Base(dir)), os.DirFS(dir)))
	require.NoError(t, r.Sweep())
	require.Equal(t, []string{"step_00000007"}, checkpointNames(t, r))
}

// Whatever state.json says is checked before it is believed.
func TestStateIsNotBelieved(t *testing.T) {
	r := newRun(t, nil)
	dir := save(t, r, 7, "weights")
	path := filepath.Join(dir, stateName)
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	// A change with the checksum taken away, as earlier versions wrote none.
	old := func(from, to string) string {
		text := string(good)
		i := strings.Index(text, ",\n  \"sha256\"")
		text = text[:i] + "\n}\n"
		require.Contains(t, text, from)
		return strings.Replace(text, from, to, 1)
	}
	for name, row := range map[string]struct{ text, err string }{
		"as it is":        {string(good), ""},
		"without its sum": {old(`"format"`, `"format"`), ""},
		"empty":           {"", "ends too early"},
		"half":            {string(good[:len(good)/2]), "ends too early"},
		"no JSON":         {"}", "not valid JSON"},
		"two values":      {string(good) + "{}", "missing, repeated or renamed"},
		"another step":    {strings.Replace(string(good), `"step": 7`, `"step": 8`, 1), "own checksum"},
		"another seed":    {strings.Replace(string(good), `"seed": 1`, `"seed": 0`, 1), ""},
		"of another step": {old(`"step": 7`, `"step": 8`), "is of step 8"},
		"unknown key":     {old(`"seed"`, `"sead"`), "unknown field"},
		"renamed losses":  {old(`"loss"`, `"losses"`), "unknown field"},
		"other case":      {old(`"loss"`, `"Loss"`), "renamed keys"},
		"repeated key":    {old(`"seed":`, `"seed": 1, "seed":`), "repeated"},
		"missing key":     {old(`"tokens_seen": 448,`, ``), "missing"},
		"a norm less":     {old("\"grad_norm\": [\n      1,", "\"grad_norm\": ["), "2 recent losses and 1 gradient norms"},
		"no losses":       {old("\"loss\": [\n      2.5,\n      0.1\n    ]", "\"loss\": null"), "0 recent losses"},
		"wrong type":      {old(`"step": 7`, `"step": "7"`), "step cannot be a string"},
		"negative":        {old(`"offset": 3`, `"offset": -3`), "negative"},
		"other format":    {old(`"format": 1`, `"format": 2`), "format 2"},
		"a path":          {old(`"model"`, `"../model"`), "not a file name"},
	} {
		require.NoError(t, os.WriteFile(path, []byte(row.text), 0o644))
		_, err := ReadState(dir)
		if row.err == "" && name != "another seed" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorContains(t, err, row.err, name)
		require.NotContains(t, err.Error(), "\n", name)
		require.NotContains(t, err.Error(), "json:", name)
	}
	long := State{Step: 7, Recent: Recent{Loss: make([]float32, RecentSteps+1), Norm: make([]float32, RecentSteps+1)}}
	require.ErrorContains(t, WriteCheckpoint(dir, long, func(string) error { return nil }), "at most 128")

	require.NoError(t, os.WriteFile(path, good, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "model"), []byte("weightz"), 0o644))
	_, err = ReadState(dir)
	require.ErrorContains(t, err, "model has 7 bytes")
	require.NoError(t, os.Remove(filepath.Join(dir, "model")))
	_, err = ReadState(dir)
	require.ErrorContains(t, err, "is damaged")
	require.NoError(t, os.Remove(path))
	_, err = ReadState(dir)
	require.ErrorContains(t, err, "has no state.json")
}

// Checkpoints of earlier versions have no checksum of their state.
func TestStateOfAnEarlierVersion(t *testing.T) {
	s, err := readStateFile("../../cmd/bitnet/testdata/run/simple/checkpoints/step_00000020")
	require.NoError(t, err)
	require.EqualValues(t, 20, s.Step)
	require.Len(t, s.Recent.Norm, 20)
	require.Empty(t, s.Sum)
}

func TestFindCheckpoint(t *testing.T) {
	r := newRun(t, nil)
	var notes []string
	find := func(path string) (string, State, error) {
		return FindCheckpoint(path, func(s string) { notes = append(notes, s) }, "model")
	}
	require.NoError(t, os.Mkdir(filepath.Join(r.Dir, "checkpoints"), 0o755))
	_, _, err := find(r.Dir)
	require.ErrorContains(t, err, "no whole checkpoint yet")
	first, second := save(t, r, 7, "a"), save(t, r, 9, "b")
	dir, s, err := find(r.Dir)
	require.NoError(t, err)
	require.Equal(t, second, dir)
	require.EqualValues(t, 9, s.Step)
	require.NoError(t, os.Truncate(filepath.Join(second, "model"), 0))
	dir, _, err = find(r.Dir)
	require.NoError(t, err)
	require.Equal(t, first, dir)
	require.Len(t, notes, 1)
	_, _, err = find(second)
	require.ErrorContains(t, err, "damaged")
	dir, _, err = find(first + "/")
	require.NoError(t, err)
	require.Equal(t, first, dir)
	_, _, err = find(filepath.Join(r.Dir, "nothing"))
	require.ErrorContains(t, err, "there is no run or checkpoint")
}

func TestPrune(t *testing.T) {
	r := newRun(t, nil)
	for step := int64(1); step <= 5; step++ {
		save(t, r, step, "x")
	}
	require.NoError(t, r.Prune(0, nil))
	require.Len(t, r.Checkpoints(), 5)
	require.NoError(t, r.Prune(2, func(step int64) bool { return step == 1 || step == 4 }))
	require.Equal(t, []string{"step_00000001", "step_00000003", "step_00000004", "step_00000005"}, checkpointNames(t, r))
}

// A run that continues from an older checkpoint keeps the newer ones, but not
// as its own: neither resuming nor pruning takes them for the newest.
func TestSetAside(t *testing.T) {
	r := newRun(t, nil)
	var notes []string
	aside := func(step int64) error { return r.SetAside(step, func(s string) { notes = append(notes, s) }) }
	for _, step := range []int64{10, 20, 30} {
		save(t, r, step, fmt.Sprint(step))
	}
	require.NoError(t, aside(30))
	require.Empty(t, notes)
	// The one to continue from must be good, or else nothing is touched.
	require.Error(t, aside(15))
	state := filepath.Join(r.CheckpointDir(10), stateName)
	good, err := os.ReadFile(state)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(state, good[1:], 0o644))
	require.ErrorContains(t, aside(10), "no other to continue from")
	require.Len(t, checkpointNames(t, r), 3)
	require.NoError(t, os.WriteFile(state, good, 0o644))

	require.NoError(t, aside(10))
	require.Len(t, notes, 2)
	save(t, r, 20, "x")
	save(t, r, 30, "x")
	require.NoError(t, aside(20))
	require.Equal(t, []string{"aside_step_00000020", "aside_step_00000030", "aside_step_00000030_2", "step_00000010", "step_00000020"}, checkpointNames(t, r))
}
