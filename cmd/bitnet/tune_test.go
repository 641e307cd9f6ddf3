package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/train"
	"bitnet/gpu"
	"bitnet/graph/tune"
)

// What is stored is told, and used by training.
func TestTuneCommand(t *testing.T) {
	adapters, err := gpu.Adapters()
	if err != nil || len(adapters) == 0 {
		t.Skip("no graphics adapter: run gpu/install-vulkan.sh")
	}
	i, err := gpu.Choose(adapters, "")
	require.NoError(t, err)
	a := adapters[i]
	cfg, err := train.Preset("simple")
	require.NoError(t, err)
	require.NoError(t, cfg.Set("num_hidden_layers=1"))
	require.NoError(t, cfg.Set("batch_size=2"))
	_, plan, err := train.Plan(cfg, a)
	require.NoError(t, err)

	run := func(args ...string) (stdout, stderr string, err error) {
		var out, errs bytes.Buffer
		root := rootCommand()
		root.SetArgs(args)
		root.SetOut(&out)
		root.SetErr(&errs)
		err = root.ExecuteContext(t.Context())
		return out.String(), errs.String(), err
	}
	// A file with all products, so that nothing is left to measure.
	file := tune.NewFile(a)
	for i, p := range plan.Products() {
		c := tune.Choice{Variant: p.Variants[0].Name, Default: p.Variants[0].Name, Seconds: 0.25, DefaultSeconds: 0.25}
		if i == 0 {
			c.Variant, c.Seconds = p.Variants[1].Name, 0.125
		}
		file.Products[p.Key] = c
	}
	text, err := json.Marshal(file)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "tuning.json")
	require.NoError(t, os.WriteFile(path, text, 0o600))
	shape := []string{"--exp", "simple", "--batch-size", "2", "--set", "num_hidden_layers=1"}
	out, errs, err := run(append([]string{"tune", "-o", path}, shape...)...)
	require.NoError(t, err)
	require.Empty(t, errs)
	first := plan.Products()[0]
	require.Contains(t, out, "   250.000    125.000  2.00x  "+first.Key+": "+first.Variants[1].Name+"\n")
	require.Contains(t, out, " (the default)\n")
	require.Contains(t, out, " products, 0 measured now, 1 with a variant other than the default; stored in "+path+"\n")
	out, _, err = run(append([]string{"tune", "-o", path, "--json"}, shape...)...)
	require.NoError(t, err)
	var report train.TuneReport
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.Equal(t, path, report.Path)
	require.Equal(t, *file, report.File)

	dir := t.TempDir()
	_, _, err = run(append([]string{"train", "--quiet", "--num-steps", "1", "--tuning", path, "--runs-dir", dir, "--run-id", "run"}, shape...)...)
	require.NoError(t, err)
	kept, err := tune.ReadFile(filepath.Join(dir, "run", "tuning.json"))
	require.NoError(t, err)
	require.Equal(t, file, kept)
	out, _, err = run(append([]string{"bench", "step", "--repeat", "1", "--tuning", path}, shape...)...)
	require.NoError(t, err)
	require.Contains(t, out, "tokens/s")

	_, _, err = run(append([]string{"train", "--tuning", filepath.Join(dir, "none"), "--runs-dir", dir}, shape...)...)
	require.ErrorContains(t, err, "reading the tuning")
	_, _, err = run("tune")
	require.ErrorContains(t, err, "choose what to train")
}
