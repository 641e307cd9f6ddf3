package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"bitnet/bitnet/cost"
	"bitnet/bitnet/runs"
	"bitnet/bitnet/train"
	"bitnet/gpu"
)

// takesRun finds commands whose arguments are runs or models by their usage.
var takesRun = regexp.MustCompile(`\b(RUN|CHECKPOINT|MODEL)\b`)

// addCompletions adds shell completion to all commands: runs, experiments,
// adapters, backends.
func addCompletions(c *cobra.Command) {
	for flag, values := range map[string]cobra.CompletionFunc{
		"exp":     matching(func(*cobra.Command) []string { return train.Presets() }),
		"backend": matching(func(*cobra.Command) []string { return gpu.Backends() }),
		"on-anomaly": matching(func(*cobra.Command) []string {
			return []string{string(runs.Warn), string(runs.Stop), string(runs.RollBack)}
		}),
		"device":  matching(devices),
		"tuning":  matching(func(*cobra.Command) []string { return []string{train.TuneAuto, train.TuneStored, train.TuneOff} }),
		"resume":  matching(runFolders),
		"init":    matching(runFolders),
		"teacher": matching(runFolders),
	} {
		if c.Flags().Lookup(flag) != nil {
			// It fails only where there is no such flag, or a completion already.
			_ = c.RegisterFlagCompletionFunc(flag, values)
		}
	}
	if c.Flags().Lookup("set") != nil {
		_ = c.RegisterFlagCompletionFunc("set", settings)
	}
	if c.Flags().Lookup("config") != nil {
		_ = c.MarkFlagFilename("config", "yaml", "yml")
	}
	if c.ValidArgsFunction == nil && takesRun.MatchString(c.Use) {
		c.ValidArgsFunction = matching(runFolders)
	}
	for _, sub := range c.Commands() {
		addCompletions(sub)
	}
}

// matching offers the values that hold what was typed so far, and where there
// are none, lets the shell offer files.
func matching(values func(*cobra.Command) []string) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		var out []string
		for _, v := range values(c) {
			if strings.Contains(strings.ToLower(v), strings.ToLower(typed)) && !slices.Contains(args, v) {
				out = append(out, v)
			}
		}
		return out, cobra.ShellCompDirectiveDefault
	}
}

// settings are the keys of a configuration, each ending in "=", ready for a value.
func settings(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	var config map[string]any
	if err := yaml.Unmarshal(new(train.Config).YAML(), &config); err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var out []string
	for section, keys := range config {
		values, _ := keys.(map[string]any)
		for key := range values {
			if name := section + "." + key + "="; strings.Contains(name, typed) {
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return out, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}

// devices are the adapters of this machine; for bitnet cost, the cards of its table.
func devices(c *cobra.Command) []string {
	var out []string
	if c.Name() == "cost" {
		out = append(out, "this")
		for _, d := range cost.Devices() {
			out = append(out, d.Name)
		}
		return out
	}
	found, _ := gpu.Adapters()
	for _, a := range found {
		out = append(out, a.Name)
	}
	return out
}

// runFolders are the runs in --runs-dir, or in runs/.
func runFolders(c *cobra.Command) []string {
	dir := "runs"
	if f := c.Flag("runs-dir"); f != nil {
		dir = f.Value.String()
	}
	entries, _ := os.ReadDir(dir)
	var out []string
	for _, e := range entries {
		run := filepath.Join(dir, e.Name())
		if _, err := os.Stat(filepath.Join(run, "config.yaml")); err == nil {
			out = append(out, run)
		}
	}
	return out
}
