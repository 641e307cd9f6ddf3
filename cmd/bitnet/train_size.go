package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"bitnet/bitnet/cluster"
	"bitnet/bitnet/cost"
	"bitnet/bitnet/train"
)

// sizedTime is how long a run of a --size trains.
const sizedTime = time.Hour

// checkSize refuses --size where it does not say what is trained.
func (f *trainFlags) checkSize(group *cluster.Group) error {
	switch {
	case f.size == "":
		return nil
	case f.exp != "text":
		return usageError{errors.New("--size is for --exp text")}
	case f.init != "":
		return usageError{errors.New("--init brings its own model: leave out --size")}
	case f.swarmFlags.plan != nil || group.Size() > 1:
		return usageError{errors.New("--size fits a run to one machine: leave it out, and choose the model with --set")}
	}
	return nil
}

// fit measures a few steps of a configuration and chooses as many as train in about
// an hour, unless the user did, and says how long that takes.
func (f *trainFlags) fit(c *cobra.Command, cfg *train.Config) error {
	changed := c.Flags().Changed
	if f.size == "" || changed("num-steps") || changed("epochs") || f.sets("steps") || f.sets("epochs") {
		return nil
	}
	note := noteTo(c)
	if f.quiet || f.json {
		note = func(string) {}
	}
	note("measuring a few steps, to choose as many as train in about an hour")
	dev, err := f.adapterFlags.device().Open(note)
	if err != nil {
		return err
	}
	defer dev.Close()
	step, err := cost.Measure(c.Context(), cfg, dev)
	if err != nil {
		return err
	}
	m, _, err := train.Plan(cfg, dev.Adapter())
	if err != nil {
		return err
	}
	parameters := m.Params.Count()
	took := cfg.FitSteps(step.TokensPerSec, parameters, sizedTime)
	if !f.sets("warmup_steps") {
		cfg.LimitWarmup()
	}
	each := float64(cfg.Tokens()) / float64(parameters)
	note(fmt.Sprintf("size %s: %s parameters at %.0f tokens/s: %s steps, %s tokens (%.1f per parameter), about %s, and the time of evaluations",
		f.size, thousands(parameters), step.TokensPerSec, thousands(int64(cfg.Train.Steps)), thousands(cfg.Tokens()), each, brief(took)))
	if sizes := train.Sizes(); each < 5 && f.size != sizes[0] {
		note("that is few tokens for this model: a smaller --size learns more in an hour here")
	}
	return nil
}
