package train

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/gpu/driver"
	"bitnet/graph"
)

var card = gpu.Adapter{Adapter: driver.Adapter{Name: `A "card"/7`, Driver: "1.0", Kind: gpu.Discrete}, Backend: "wgpu"}

func TestTuningPath(t *testing.T) {
	t.Setenv("BITNET_TUNING", "dir")
	path, err := TuningPath(card)
	require.NoError(t, err)
	require.Regexp(t, `^dir.A-card-7-wgpu-[0-9a-f]{8}\.json$`, path)
	again, err := TuningPath(card)
	require.NoError(t, err)
	require.Equal(t, path, again)
	for _, change := range []func(*gpu.Adapter){
		func(a *gpu.Adapter) { a.Name = `A "card"-7` },
		func(a *gpu.Adapter) { a.Driver = "1.1" },
		func(a *gpu.Adapter) { a.Backend = "dawn" },
	} {
		other := card
		change(&other)
		path, err := TuningPath(other)
		require.NoError(t, err)
		require.NotEqual(t, again, path)
	}
	t.Setenv("BITNET_TUNING", "")
	path, err = TuningPath(card)
	if err == nil {
		require.Contains(t, path, filepath.Join("bitnet", "tuning"))
	}
}

func TestTuningFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "tuning.json")
	want := NewTuning(card)
	want.Products["matmul 1x2x3"] = graph.Choice{Variant: "fast", Seconds: 0.5, Default: "usual", DefaultSeconds: 1}
	require.NoError(t, want.write(path))
	got, err := ReadTuning(path)
	require.NoError(t, err)
	require.Equal(t, want, got)

	var notes []string
	stored := func() *TuningFile { return storedTuning(path, card, func(s string) { notes = append(notes, s) }) }
	require.Equal(t, want, stored())
	require.Empty(t, notes)
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.Remove(path))
	require.Equal(t, NewTuning(card), stored())
	require.Empty(t, notes, "nothing is stored yet: no word about it")
	_, err = ReadTuning(path)
	require.ErrorIs(t, err, fs.ErrNotExist)

	for name, row := range map[string]struct{ text, note string }{
		"another adapter": {strings.ReplaceAll(string(whole), "card", "cart"), "it was measured on"},
		"another driver":  {strings.ReplaceAll(string(whole), `"1.0"`, `"0.9"`), "it was measured on"},
		"stale":           {strings.Replace(string(whole), want.Kernels, "0123456789abcdef", 1), "the kernels have changed since"},
		"empty":           {"", "is no tuning"},
		"cut off":         {string(whole[:len(whole)/2]), "is no tuning"},
		"nothing":         {"{}", "no products"},
		"null":            {"null", "no products"},
		"a list":          {"[1]", "is no tuning"},
		"types":           {`{"products": {"matmul": 7}}`, "is no tuning"},
		"numbers":         {`{"products": {"matmul": {"seconds": 1e999}}}`, "is no tuning"},
		"lines":           {"{\"products\":\n\x1b[31m\n}", "is no tuning"},
		"long names":      {`{"adapter": "` + strings.Repeat("x\\n", 9999) + `", "products": {}}`, "it was measured on"},
		"large":           {`{"products": {}}` + strings.Repeat(" ", mostTuning), "more than 4 MiB"},
	} {
		notes = nil
		require.NoError(t, os.WriteFile(path, []byte(row.text), 0o600))
		require.Equal(t, NewTuning(card), stored(), name)
		require.Len(t, notes, 1, name)
		require.Contains(t, notes[0], row.note, name)
		require.NotContains(t, notes[0], "\n", name)
		require.NotContains(t, notes[0], "\x1b", name)
		require.Less(t, len(notes[0]), 600, name)
	}
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0o755))
	notes = nil
	require.Empty(t, stored().Products)
	require.Len(t, notes, 1)
	require.Error(t, want.write(path))
}

// otherVariants chooses the last variant of each product of a configuration.
func otherVariants(t *testing.T, c *Config, a gpu.Adapter) *TuningFile {
	_, plan, err := Prepare(c, a)
	require.NoError(t, err)
	file := NewTuning(a)
	for _, p := range plan.Products() {
		file.Products[p.Name] = graph.Choice{Variant: p.Variants[len(p.Variants)-1], Default: p.Variants[0]}
	}
	require.Greater(t, len(file.Products), 5)
	return file
}

func TestChooseTuning(t *testing.T) {
	dev := openDevice(t)
	t.Setenv("BITNET_TUNING", t.TempDir())
	c := tiny(t)
	a := dev.Adapter()
	_, plan, err := Prepare(c, a)
	require.NoError(t, err)
	var notes []string
	choose := func(how string) (graph.Tuning, error) {
		notes = nil
		c.Train.Tuning = how
		f, err := chooseTuning(t.Context(), c, dev, plan, func(s string) { notes = append(notes, s) })
		if err != nil {
			return nil, err
		}
		return f.Products, nil
	}
	check := func(how string, want graph.Tuning) {
		t.Helper()
		got, err := choose(how)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	none := graph.Tuning{}
	for _, how := range []string{TuneAuto, TuneStored, TuneOff} { // the run is too short to measure anything
		check(how, none)
		require.Empty(t, notes)
	}
	file := otherVariants(t, c, a)
	path, err := TuningPath(a)
	require.NoError(t, err)
	require.NoError(t, file.write(path))
	check(TuneAuto, file.Products)
	check(TuneStored, file.Products)
	check(TuneOff, none)
	check(path, file.Products)
	require.Empty(t, notes)

	file.Kernels = "older"
	require.NoError(t, file.write(path))
	check(TuneAuto, none)
	require.Len(t, notes, 1)
	check(path, file.Products) // a file that was asked for
	require.Len(t, notes, 1)
	require.Contains(t, notes[0], "where it is still there")

	file.Driver = "older"
	require.NoError(t, file.write(path))
	_, err = choose(path)
	require.ErrorContains(t, err, "it was measured on")
	require.NotContains(t, err.Error(), "\n")
	_, err = choose(filepath.Join(t.TempDir(), "none.json"))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// A long run on a card measures what is not stored.
func TestMeasureAtStart(t *testing.T) {
	dev := openDevice(t)
	card := card
	card.Limits = dev.Adapter().Limits
	c, err := Preset("baseline")
	require.NoError(t, err)
	for _, row := range []struct {
		set  string
		a    gpu.Adapter
		want bool
	}{
		{"tuning=auto", card, true},
		{"tuning=stored", card, false},
		{"tuning=off", card, false},
		{"steps=10", card, false},
		{"tuning=auto", dev.Adapter(), dev.Adapter().Kind != gpu.CPU},
	} {
		changed := *c
		require.NoError(t, changed.Set(row.set))
		_, plan, err := Prepare(&changed, row.a)
		require.NoError(t, err)
		require.Equal(t, row.want, changed.measures(plan, row.a), row.set)
	}

	c = tiny(t)
	_, plan, err := Prepare(c, dev.Adapter())
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "tuning.json")
	file := otherVariants(t, c, dev.Adapter())
	var notes []string
	note := func(s string) { notes = append(notes, s) }
	require.NoError(t, file.complete(t.Context(), dev, plan, path, note))
	require.Empty(t, notes)
	require.NoFileExists(t, path)

	delete(file.Products, plan.Products()[0].Name)
	require.NoError(t, file.complete(t.Context(), dev, plan, path, note))
	require.Len(t, notes, 1)
	require.Contains(t, notes[0], "products, 1 of them")
	require.Len(t, file.Products, len(plan.Products()))
	stored, err := ReadTuning(path)
	require.NoError(t, err)
	require.Equal(t, file, stored)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	delete(file.Products, plan.Products()[0].Name)
	require.ErrorIs(t, file.complete(ctx, dev, plan, path, note), context.Canceled)
}

// A run keeps its tuning: it goes on bit for bit, whatever is stored by then.
func TestResumeKeepsTuning(t *testing.T) {
	dev := openDevice(t)
	c := tiny(t)
	require.NoError(t, c.Set("steps=8"))
	require.NoError(t, c.Set("checkpoint_interval=3"))
	pinned := filepath.Join(t.TempDir(), "pinned.json")
	file := otherVariants(t, c, dev.Adapter())
	file.Products["matmul of another run"] = graph.Choice{Variant: "any"}
	require.NoError(t, file.write(pinned))
	c.Train.Tuning = pinned
	delete(file.Products, "matmul of another run")

	whole, err := NewTrainer(t.Context(), c, dev, Start{RunsDir: t.TempDir(), RunID: "whole"}, Events{})
	require.NoError(t, err)
	require.Equal(t, file.Products, whole.model.Params.Tuning)
	kept, err := ReadTuning(filepath.Join(whole.Dir, tuningName))
	require.NoError(t, err)
	require.Equal(t, file, kept)
	require.NoError(t, whole.Run(t.Context()))

	ctx, cancel := context.WithCancel(t.Context())
	half, err := NewTrainer(t.Context(), c, dev, Start{RunsDir: t.TempDir(), RunID: "half"}, Events{Metrics: func(m Metrics) {
		if m.Step == 4 {
			cancel()
		}
	}})
	require.NoError(t, err)
	require.ErrorIs(t, half.Run(ctx), context.Canceled)
	require.NoError(t, os.Remove(pinned)) // the run's own is what counts
	rest, err := NewTrainer(t.Context(), c, dev, Start{Resume: half.Dir}, Events{})
	require.NoError(t, err)
	require.Equal(t, file.Products, rest.model.Params.Tuning)
	require.NoError(t, rest.Run(t.Context()))
	a, b := metricsOf(t, whole.Dir), metricsOf(t, rest.Dir)
	require.Len(t, a, 8)
	require.Equal(t, len(a), len(b))
	for s, m := range a {
		require.Equal(t, m.Loss, b[s].Loss, "loss of step %d", s)
	}
	require.Equal(t, finalSum(t, whole.Dir, 8), finalSum(t, rest.Dir, 8))

	// The default kernels give the same within rounding.
	c.Train.Tuning = TuneOff
	plain, err := NewTrainer(t.Context(), c, dev, Start{RunsDir: t.TempDir(), RunID: "plain"}, Events{})
	require.NoError(t, err)
	require.NoFileExists(t, filepath.Join(plain.Dir, tuningName))
	require.NoError(t, plain.Run(t.Context()))
	for s, m := range metricsOf(t, plain.Dir) {
		require.InEpsilon(t, a[s].Loss, m.Loss, 1e-4, "loss of step %d", s)
	}

	// Another --tuning counts, and the run begins anew with it.
	c.Train.Steps = 9
	off, err := NewTrainer(t.Context(), c, dev, Start{Resume: rest.Dir}, Events{})
	require.NoError(t, err)
	require.Empty(t, off.model.Params.Tuning)
	require.NoFileExists(t, filepath.Join(rest.Dir, tuningName))

	// What the run kept is damaged, or another adapter's: a note, and the defaults.
	c.Train.Tuning = pinned
	for text, want := range map[string]string{"{": "is no tuning", `{"products": {}}`: "chosen anew"} {
		require.NoError(t, os.WriteFile(filepath.Join(whole.Dir, tuningName), []byte(text), 0o600))
		var notes []string
		require.Nil(t, runTuning(filepath.Join(whole.Dir, "checkpoints", "step_00000008"), c, dev.Adapter(), func(s string) { notes = append(notes, s) }))
		require.Len(t, notes, 1)
		require.Contains(t, notes[0], want)
	}
}

// Tuning a tiny model stores something legal; what is stored is not measured again.
func TestTuneStores(t *testing.T) {
	dev := openDevice(t)
	c := tiny(t)
	path := filepath.Join(t.TempDir(), "tuning.json")
	file := otherVariants(t, c, dev.Adapter())
	_, plan, err := Prepare(c, dev.Adapter())
	require.NoError(t, err)
	left := plan.Products()[0]
	delete(file.Products, left.Name) // the only one to measure: each takes seconds to compile
	require.NoError(t, file.write(path))
	r, err := Tune(t.Context(), c, dev, path, false, TuneOptions{})
	require.NoError(t, err)
	require.Equal(t, 1, r.Measured)
	require.Equal(t, path, r.Path)
	require.Len(t, r.Products, len(plan.Products()))
	require.Contains(t, left.Variants, r.Products[left.Name].Variant)
	stored, err := ReadTuning(path)
	require.NoError(t, err)
	require.Equal(t, r.TuningFile, *stored)

	// No other file is written over.
	for text, want := range map[string]string{"steps: 9\n": "is no tuning", `{"products": {}}`: "is kept"} {
		other := filepath.Join(t.TempDir(), "other")
		require.NoError(t, os.WriteFile(other, []byte(text), 0o600))
		_, err = Tune(t.Context(), c, dev, other, true, TuneOptions{})
		require.ErrorContains(t, err, want)
	}

	again, err := Tune(t.Context(), c, dev, path, false, TuneOptions{})
	require.NoError(t, err)
	require.Zero(t, again.Measured)

	short, err := plan.Tune(t.Context(), dev, TuneOptions{Budget: 1})
	require.NoError(t, err)
	for _, c := range short { // at most one, begun in time
		require.True(t, c.Cut)
	}
	part := stored.Products[left.Name]
	part.Cut = true
	stored.Products[left.Name] = part
	require.NoError(t, stored.write(path))
	r, err = Tune(t.Context(), c, dev, path, false, TuneOptions{})
	require.NoError(t, err)
	require.Equal(t, 1, r.Measured, "what was measured in short is measured whole")
	require.False(t, r.Products[left.Name].Cut)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	stopped, err := Tune(ctx, c, dev, path, true, TuneOptions{})
	require.True(t, errors.Is(err, context.Canceled), err)
	require.Zero(t, stopped.Measured)
	require.Equal(t, r.Products, stopped.Products)
}
