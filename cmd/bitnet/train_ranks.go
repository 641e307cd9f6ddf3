package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"bitnet/bitnet/cluster"
	"bitnet/bitnet/train"
	"bitnet/data/printable"
	"bitnet/gpu"
)

// shared is the configuration that all ranks train with: that of rank 0.
func (f *trainFlags) shared(c *cobra.Command, group *cluster.Group) (*train.Config, error) {
	if group == nil {
		return f.checked(c)
	}
	if group.Rank() > 0 {
		text, err := group.Tell(nil)
		if err != nil {
			return nil, err
		}
		return train.ParseConfig("the configuration of rank 0", text)
	}
	done := group.Busy() // --init may download
	cfg, err := f.checked(c)
	done()
	if err != nil {
		return nil, err
	}
	_, err = group.Tell(cfg.YAML())
	return cfg, err
}

// silentReporter is that of ranks whose output nobody reads: rank 0 reports.
type silentReporter struct{}

func (silentReporter) prepare(*train.Config, gpu.Adapter)    {}
func (silentReporter) start(*train.Trainer)                  {}
func (silentReporter) events() train.Events                  { return train.Events{} }
func (silentReporter) end(_ *train.Trainer, err error) error { return err }

// reportedError is an error that has been printed, here or by another rank.
type reportedError struct{ error }

func (e reportedError) Unwrap() error { return e.error }

// leave ends a rank's part, tells the others if it failed, and prints its error:
// before it leaves, as the launcher ends all ranks when the first has left. What
// all ranks find, rank 0 alone prints: the others wait for it.
func leave(c *cobra.Command, group *cluster.Group, t *train.Trainer, err error) error {
	if group == nil {
		return err
	}
	if errors.Is(err, context.Canceled) && t != nil { // all ranks agreed to stop
		group.Leave(nil)
		return err
	}
	if errors.Is(err, context.Canceled) {
		err = errors.New("it was asked to stop before training began")
	}
	said := sentence(group, t, err)
	if said == nil || errors.As(said, new(reportedError)) {
		group.Leave(err)
		return said
	}
	if group.Rank() > 0 && !errors.Is(err, cluster.ErrLost) { // where one is lost, Leave may end this process
		if reported := group.Leave(err); !reported {
			printError(c, said)
		}
		return reportedError{err}
	}
	printError(c, said)
	group.Leave(err)
	return reportedError{err}
}

// sentence is what a rank says of its error.
func sentence(group *cluster.Group, t *train.Trainer, err error) error {
	lost, other := errors.Is(err, cluster.ErrLost), errors.Is(err, cluster.ErrOther)
	switch {
	case err == nil:
		return nil
	case group.Rank() > 0 && (other || errors.Is(err, train.ErrAnomaly)):
		return reportedError{err}
	case group.Rank() > 0:
		return fmt.Errorf("rank %d on %s: %w", group.Rank(), group.Hosts()[group.Rank()], err)
	case t != nil && (lost || other) && len(t.Run.Checkpoints()) == 0:
		return fmt.Errorf("%w; there is no checkpoint yet: start again", err)
	case t != nil && (lost || other):
		return fmt.Errorf("%w; resume with the ranks that are left: bitnet train --resume %s", err, printable.Shell(t.Run.Dir))
	}
	return err
}
