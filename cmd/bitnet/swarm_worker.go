package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"bitnet/bitnet/swarm"
	"bitnet/bitnet/train"
)

// swarmFlags are the flags with which bitnet train takes part in a swarm.
type swarmFlags struct {
	address, token, worker string

	client *swarm.Client
	plan   *swarm.Plan // nil without a swarm, or if it is to be founded
	note   atomic.Pointer[func(string)]
}

// swarmTokenVariable holds the token where no flag does: other users of the machine
// can see the flags of a process.
const swarmTokenVariable = "BITNET_SWARM_TOKEN"

func (f *swarmFlags) add(fl *pflag.FlagSet) {
	fl.StringVar(&f.address, "swarm", "", "train together with others over slow links: the address that bitnet swarm serve prints")
	fl.StringVar(&f.token, "swarm-token", "", "token of the swarm (default $"+swarmTokenVariable+")")
	fl.StringVar(&f.worker, "swarm-name", "", "what the others see this worker as (default: the name of the machine)")
}

// dial connects to the meeting point, and asks what the swarm trains.
func (f *swarmFlags) dial(c *cobra.Command) error {
	if f.address == "" {
		if f.token != "" || f.worker != "" {
			return usageError{errors.New("--swarm-token and --swarm-name need --swarm ADDRESS")}
		}
		return nil
	}
	print := noteTo(c)
	f.note.Store(&print)
	var err error
	f.client, err = dialSwarm(c, f.address, f.token, func(line string) { (*f.note.Load())(line) })
	if err != nil {
		return err
	}
	if f.plan, err = f.client.Plan(c.Context()); err != nil {
		f.close()
		return err
	}
	return nil
}

// dialSwarm connects to a meeting point.
func dialSwarm(c *cobra.Command, address, token string, note func(string)) (*swarm.Client, error) {
	if token == "" {
		token = os.Getenv(swarmTokenVariable)
	}
	if _, err := swarm.ParseAddress(address); err != nil {
		return nil, usageError{err}
	}
	return swarm.Dial(c.Context(), address, token, note)
}

// tell sends the lines for the user where the others of the run go.
func (f *swarmFlags) tell(note func(string)) {
	if note == nil {
		note = func(string) {}
	}
	f.note.Store(&note)
}

// configuration is that of the worker that founded the swarm.
func (f *swarmFlags) configuration() (*train.Config, error) {
	return train.ReadConfig("the configuration of the swarm", f.plan.Config)
}

// complete compares the run with the swarm, before anything is written, and takes
// over the swarm's tokenizer, unless the run has one.
func (f *swarmFlags) complete(cfg *train.Config, has bool) error {
	if f.plan == nil {
		return nil
	}
	theirs, err := f.configuration()
	if err != nil {
		return err
	}
	if d := cfg.Disagreement(theirs); d != "" {
		return usageError{fmt.Errorf("%s: leave out the flag that says so, to take over the settings of the swarm", d)}
	}
	if has || len(f.plan.Tokenizer) == 0 {
		return nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return fmt.Errorf("there is no folder for the tokenizer of the swarm: %w; give one with --tokenizer", err)
	}
	cfg.Data.Tokenizer = filepath.Join(cache, "bitnet", "swarm", f.plan.Hash()[:16])
	return f.plan.SaveTokenizer(cfg.Data.Tokenizer)
}

// peers is the worker of this run; nil without a swarm.
func (f *swarmFlags) peers() (train.Peers, error) {
	if f.client == nil {
		return nil, nil
	}
	w, err := f.client.NewWorker(f.worker)
	if err != nil {
		return nil, usageError{fmt.Errorf("--swarm-name: %w", err)}
	}
	return w, nil
}

func (f *swarmFlags) close() {
	if f.client != nil {
		f.client.Close()
	}
}
