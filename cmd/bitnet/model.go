package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/runs"
	"bitnet/gpu"
)

// modelHelp says in help texts what a model can be.
const modelHelp = `MODEL is a run (its folder, its name, or the unique beginning of its name), RUN@best
(its checkpoint of the lowest validation loss), a checkpoint, a model directory of
transformers, or ORG/NAME on the hub.`

// modelArgument is what a command with one model wants.
const modelArgument = "a run, a checkpoint or a model"

// runsDirFlag says where runs are kept, wherever a run can be named.
func runsDirFlag(fl *pflag.FlagSet, to *string) {
	fl.StringVar(to, "runs-dir", "runs", "folder that holds the runs")
}

// modelFlags say which model to use, and what to compute on.
type modelFlags struct {
	adapterFlags
	runsDir string
	lora    string // the folder of an adapter
}

func (f *modelFlags) add(fl *pflag.FlagSet) {
	f.adapterFlags.add(fl)
	runsDirFlag(fl, &f.runsDir)
	loraFlag(fl, &f.lora)
}

// loraFlag names an adapter of low rank, wherever a model can be named.
func loraFlag(fl *pflag.FlagSet, to *string) {
	fl.StringVar(to, "adapter", "", "LoRA adapter on the model: a run that trained one, a folder of PEFT, or ORG/NAME on the hub")
}

// openModel opens the device and a model, whose files are read while the device is
// opened.
func (f *modelFlags) openModel(c *cobra.Command, path string) (*gpu.Device, *infer.Model, error) {
	ctx, cancel := context.WithCancel(c.Context())
	defer cancel()
	var files *infer.Files
	var reading error
	read := make(chan struct{})
	go func() {
		defer close(read)
		files, reading = infer.ReadFiles(ctx, f.runsDir, path, f.lora, noteTo(c))
	}()
	dev, err := f.open(c)
	if err != nil {
		cancel() // a download
		<-read
		return nil, nil, err
	}
	<-read
	if reading != nil {
		dev.Close()
		return nil, nil, reading
	}
	m, err := files.Load(dev)
	if err != nil {
		dev.Close()
		return nil, nil, err
	}
	return dev, m, nil
}

// orNewest is the model that is named, or the newest run.
func (f *modelFlags) orNewest(args []string) (string, error) {
	if len(args) == 1 {
		return args[0], nil
	}
	r, err := runs.Newest(f.runsDir)
	if err != nil {
		return "", fmt.Errorf("%w: name a model, or train one with bitnet train --exp simple", err)
	}
	return r.Dir, nil
}
