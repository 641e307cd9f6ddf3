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

	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/runs"
	"bitnet/gpu"
	"bitnet/gpu/driver"
	"bitnet/graph"
	"bitnet/graph/tune"
)

var card = gpu.Adapter{Adapter: driver.Adapter{Name: `A "card"/7`, Driver: "1.0", Kind: gpu.Discrete}, Backend: "wgpu"}

// What is stored is used, or one line says why it is not.
func TestStoredTuning(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "tuning.json")
	want := tune.NewFile(card)
	want.Products["matmul 1x2x3"] = tune.Choice{Variant: "fast", Seconds: 0.5, Default: "usual", DefaultSeconds: 1}
	require.NoError(t, want.Write(path))
	got, err := tune.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want, got)

	var notes []string
	stored := func() *tune.File { return storedTuning(path, card, func(s string) { notes = append(notes, s) }) }
	require.Equal(t, want, stored())
	require.Empty(t, notes)
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.Remove(path))
	require.Equal(t, tune.NewFile(card), stored())
	require.Empty(t, notes, "nothing is stored yet: no word about it")
	_, err = tune.ReadFile(path)
	require.ErrorIs(t, err, fs.ErrNotExist)

	for name, row := range map[string]struct{ text, note string }{
		"another adapter": {strings.ReplaceAll(string(whole), "card", "cart"), "it was measured on"},
		"another driver":  {strings.ReplaceAll(string(whole), `"1.0"`, `"0.9"`), "it was measured on"},
		"stale":           {strings.Replace(string(whole), want.Kernels, "0123456789abcdef", 1), "the kernels have changed since"},
		"empty":           {"", "is not a tuning file"},
		"cut off":         {string(whole[:len(whole)/2]), "is not a tuning file"},
		"nothing":         {"{}", "no products"},
		"null":            {"null", "no products"},
		"a list":          {"[1]", "is not a tuning file"},
		"types":           {`{"products": {"matmul": 7}}`, "is not a tuning file"},
		"numbers":         {`{"products": {"matmul": {"seconds": 1e999}}}`, "is not a tuning file"},
		"lines":           {"{\"products\":\n\x1b[31m\n}", "is not a tuning file"},
		"long names":      {`{"adapter": "` + strings.Repeat("x\\n", 9999) + `", "products": {}}`, "it was measured on"},
		"large":           {`{"products": {}}` + strings.Repeat(" ", 4<<20), "larger than 4 MiB"},
	} {
		notes = nil
		require.NoError(t, os.WriteFile(path, []byte(row.text), 0o600))
		require.Equal(t, tune.NewFile(card), stored(), name)
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
	require.Error(t, want.Write(path))
}

// otherVariants chooses the last variant of each product of a configuration.
func otherVariants(t *testing.T, c *Config, a gpu.Adapter) *tune.File {
	_, plan, err := Plan(c, a)
	require.NoError(t, err)
	file := tune.NewFile(a)
	for _, p := range plan.Products() {
		file.Products[p.Key] = tune.Choice{Variant: p.Variants[len(p.Variants)-1].Name, Default: p.Variants[0].Name}
	}
	require.Greater(t, len(file.Products), 5)
	return file
}

func variantNames(p graph.Product) []string {
	var names []string
	for _, v := range p.Variants {
		names = append(names, v.Name)
	}
	return names
}

// requireVariants checks which variants the kernels of a run are, by profiling
// one more step of it. A product that has no choice is the default.
func requireVariants(t *testing.T, tr *Trainer, want tune.Tuning) {
	t.Helper()
	times, err := tr.Profile()
	if errors.Is(err, gpu.ErrNoTimestamps) {
		return
	}
	require.NoError(t, err)
	ran := map[string]bool{}
	for _, k := range times {
		ran[k.Kernel] = true
	}
	expected := map[string]bool{}
	for _, p := range tr.Plan.Products() {
		chosen := p.Variants[0].Name
		if c, ok := want[p.Key]; ok {
			chosen = c.Variant
		}
		for _, v := range p.Variants {
			label := v.Source().Label
			expected[label] = expected[label] || v.Name == chosen
		}
	}
	require.Greater(t, len(expected), 5)
	for label, is := range expected {
		require.Equal(t, is, ran[label], label)
	}
}

func TestChooseTuning(t *testing.T) {
	dev := modeltest.Device(t)
	t.Setenv("BITNET_TUNING", t.TempDir())
	c := tiny(t)
	a := dev.Adapter()
	_, plan, err := Plan(c, a)
	require.NoError(t, err)
	var notes []string
	choose := func(how string) (tune.Tuning, error) {
		notes = nil
		c.Train.Tuning = how
		f, err := ChooseTuning(t.Context(), c, dev, plan, func(s string) { notes = append(notes, s) })
		if err != nil {
			return nil, err
		}
		return f.Products, nil
	}
	check := func(how string, want tune.Tuning) {
		t.Helper()
		got, err := choose(how)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	none := tune.Tuning{}
	for _, how := range []string{TuneAuto, TuneStored, TuneOff} { // the run is too short to measure anything
		check(how, none)
		require.Empty(t, notes)
	}
	file := otherVariants(t, c, a)
	path, err := tune.Path(a)
	require.NoError(t, err)
	require.NoError(t, file.Write(path))
	check(TuneAuto, file.Products)
	check(TuneStored, file.Products)
	check(TuneOff, none)
	check(path, file.Products)
	require.Empty(t, notes)

	file.Kernels = "older"
	require.NoError(t, file.Write(path))
	check(TuneAuto, none)
	require.Len(t, notes, 1)
	check(path, file.Products) // a file that was asked for
	require.Len(t, notes, 1)
	require.Contains(t, notes[0], "where they still exist")

	file.Driver = "older"
	require.NoError(t, file.Write(path))
	_, err = choose(path)
	require.ErrorContains(t, err, "it was measured on")
	require.NotContains(t, err.Error(), "\n")
	_, err = choose(filepath.Join(t.TempDir(), "none.json"))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// A long run on a card measures what is not stored.
func TestMeasureAtStart(t *testing.T) {
	dev := modeltest.Device(t)
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
		_, plan, err := Plan(&changed, row.a)
		require.NoError(t, err)
		require.Equal(t, row.want, changed.measures(plan, row.a), row.set)
	}

	c = tiny(t)
	_, plan, err := Plan(c, dev.Adapter())
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "tuning.json")
	file := otherVariants(t, c, dev.Adapter())
	var notes []string
	note := func(s string) { notes = append(notes, s) }
	require.NoError(t, complete(t.Context(), file, dev, plan, path, note))
	require.Empty(t, notes)
	require.NoFileExists(t, path)

	delete(file.Products, plan.Products()[0].Key)
	require.NoError(t, complete(t.Context(), file, dev, plan, path, note))
	require.Len(t, notes, 1)
	require.Contains(t, notes[0], "the variants of 1 matrix products")
	require.Len(t, file.Products, len(plan.Products()))
	stored, err := tune.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, file, stored)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	delete(file.Products, plan.Products()[0].Key)
	require.ErrorIs(t, complete(ctx, file, dev, plan, path, note), context.Canceled)
}

// A run keeps its tuning: it goes on bit for bit, whatever is stored by then.
func TestResumeKeepsTuning(t *testing.T) {
	dev := modeltest.Device(t)
	c := tiny(t)
	require.NoError(t, c.Set("steps=8"))
	require.NoError(t, c.Set("checkpoint_interval=3"))
	pinned := filepath.Join(t.TempDir(), "pinned.json")
	file := otherVariants(t, c, dev.Adapter())
	file.Products["matmul of another run"] = tune.Choice{Variant: "any"}
	require.NoError(t, file.Write(pinned))
	c.Train.Tuning = pinned
	delete(file.Products, "matmul of another run")

	whole := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "whole"}, Events{})
	kept, err := tune.ReadFile(whole.Run.TuningPath())
	require.NoError(t, err)
	require.Equal(t, file, kept)
	require.NoError(t, whole.Train(t.Context()))
	requireVariants(t, whole, file.Products)

	ctx, cancel := context.WithCancel(t.Context())
	half := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "half"}, Events{Metrics: func(m runs.Metrics) {
		if m.Step == 4 {
			cancel()
		}
	}})
	require.ErrorIs(t, half.Train(ctx), context.Canceled)
	half.Close()
	require.NoError(t, os.Remove(pinned)) // the run's own is what counts
	rest := begin(t, c, dev, Start{Resume: half.Run.Dir}, Events{})
	require.NoError(t, rest.Train(t.Context()))
	requireVariants(t, rest, file.Products)
	a, b := metricsOf(t, whole.Run.Dir), metricsOf(t, rest.Run.Dir)
	require.Len(t, a, 8)
	require.Equal(t, len(a), len(b))
	for s, m := range a {
		require.Equal(t, m.Get(runs.Loss), b[s].Get(runs.Loss), "loss of step %d", s)
	}
	require.Equal(t, finalSum(t, whole.Run.Dir, 8), finalSum(t, rest.Run.Dir, 8))

	// The default kernels give the same within rounding.
	c.Train.Tuning = TuneOff
	plain := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "plain"}, Events{})
	require.NoFileExists(t, plain.Run.TuningPath())
	require.NoError(t, plain.Train(t.Context()))
	for s, m := range metricsOf(t, plain.Run.Dir) {
		require.InEpsilon(t, a[s].Get(runs.Loss), m.Get(runs.Loss), 1e-4, "loss of step %d", s)
	}

	// Another --tuning counts, and the run chooses again by it.
	rest.Close()
	c.Train.Steps = 9
	off := begin(t, c, dev, Start{Resume: rest.Run.Dir}, Events{})
	requireVariants(t, off, tune.Tuning{})
	require.NoFileExists(t, rest.Run.TuningPath())

	// What the run kept is damaged, or another adapter's: a note, and the defaults.
	c.Train.Tuning = pinned
	for text, want := range map[string]string{"{": "is not a tuning file", `{"products": {}}`: "chosen again"} {
		require.NoError(t, os.WriteFile(whole.Run.TuningPath(), []byte(text), 0o600))
		var notes []string
		require.Nil(t, runTuning(whole.Run, whole.Run.CheckpointDir(8), c, dev.Adapter(), func(s string) { notes = append(notes, s) }))
		require.Len(t, notes, 1)
		require.Contains(t, notes[0], want)
	}
}

// Tuning a tiny model stores something legal; what is stored is not measured again.
func TestTuneStores(t *testing.T) {
	dev := modeltest.Device(t)
	c := tiny(t)
	path := filepath.Join(t.TempDir(), "tuning.json")
	file := otherVariants(t, c, dev.Adapter())
	_, plan, err := Plan(c, dev.Adapter())
	require.NoError(t, err)
	left := plan.Products()[0]
	delete(file.Products, left.Key) // the only one to measure: each takes seconds to compile
	require.NoError(t, file.Write(path))
	r, err := Tune(t.Context(), c, dev, path, false, tune.Options{})
	require.NoError(t, err)
	require.Equal(t, 1, r.Measured)
	require.Equal(t, path, r.Path)
	require.Len(t, r.Products, len(plan.Products()))
	require.Contains(t, variantNames(left), r.Products[left.Key].Variant)
	stored, err := tune.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, r.File, *stored)

	// No other file is written over.
	for text, want := range map[string]string{"steps: 9\n": "is not a tuning file", `{"products": {}}`: "is kept"} {
		other := filepath.Join(t.TempDir(), "other")
		require.NoError(t, os.WriteFile(other, []byte(text), 0o600))
		_, err = Tune(t.Context(), c, dev, other, true, tune.Options{})
		require.ErrorContains(t, err, want)
	}

	again, err := Tune(t.Context(), c, dev, path, false, tune.Options{})
	require.NoError(t, err)
	require.Zero(t, again.Measured)

	short, err := tune.Measure(t.Context(), dev, plan.Products(), tune.Options{Budget: 1})
	require.NoError(t, err)
	for _, c := range short { // at most one, begun in time
		require.True(t, c.Cut)
	}
	part := stored.Products[left.Key]
	part.Cut = true
	stored.Products[left.Key] = part
	require.NoError(t, stored.Write(path))
	r, err = Tune(t.Context(), c, dev, path, false, tune.Options{})
	require.NoError(t, err)
	require.Equal(t, 1, r.Measured, "what was measured in short is measured whole")
	require.False(t, r.Products[left.Key].Cut)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	stopped, err := Tune(ctx, c, dev, path, true, tune.Options{})
	require.True(t, errors.Is(err, context.Canceled), err)
	require.Zero(t, stopped.Measured)
	require.Equal(t, r.Products, stopped.Products)
}
