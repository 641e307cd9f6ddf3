package main

import (
	"encoding/json"
	"path/filepath"

	"github.com/spf13/cobra"

	"bitnet/bitnet/runs"
	"bitnet/bitnet/runs/chart"
	"bitnet/bitnet/train"
	"bitnet/data/printable"
)

// schedules are the planned learning rates and weight decays of an experiment or
// a configuration file, or else of runs.
func schedules(c *cobra.Command, f *trainFlags, runsDir string, args []string) ([]chart.Source, error) {
	if f.exp != "" || f.config != "" {
		cfg, err := f.configuration(c)
		if err != nil {
			return nil, err
		}
		s, err := planned(cfg.Name, cfg)
		return []chart.Source{s}, err
	}
	list, err := findRuns(runsDir, args)
	if err != nil {
		return nil, err
	}
	var sources []chart.Source
	for _, r := range list {
		cfg, err := train.LoadConfig(filepath.Join(r.Dir, "config.yaml"))
		if err != nil {
			return nil, err
		}
		if c.Flags().Changed("num-steps") {
			cfg.Train.Steps = f.steps
		}
		for _, s := range f.set {
			if err := cfg.Set(s); err != nil {
				return nil, usageError{err}
			}
		}
		s, err := planned(r.Name, cfg)
		if err != nil {
			return nil, err
		}
		sources = append(sources, s)
	}
	return sources, nil
}

// planned is the schedule of a configuration as the curves of a run.
func planned(name string, cfg *train.Config) (chart.Source, error) {
	if err := cfg.Check(); err != nil {
		return chart.Source{}, err
	}
	curves := runs.NewCurves(2 * plotPoints) // so that each line is a point
	for _, m := range cfg.Schedule(plotPoints) {
		line, err := json.Marshal(m)
		if err != nil {
			return chart.Source{}, err
		}
		curves.Add(line)
	}
	return chart.Source{Name: printable.String(name) + ", schedule " + string(cfg.Train.Schedule), Curves: curves}, nil
}
