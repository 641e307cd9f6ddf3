package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"bitnet/bitnet/card"
	"bitnet/bitnet/eval"
	"bitnet/bitnet/export"
	"bitnet/bitnet/model"
	"bitnet/bitnet/share"
	"bitnet/bitnet/task/catalog"
	"bitnet/bitnet/train"
	"bitnet/gpu"
)

func exportCommand() *cobra.Command {
	var o export.Options
	about := card.About{}
	noCard := false
	var m mergeFlags
	c := &cobra.Command{
		Use:   "export MODEL",
		Short: "Write a model for transformers, llama.cpp or Ollama",
		Long: `Write a model for other programs: the newest checkpoint of a run, its best
(RUN@best), a checkpoint, a model directory of transformers, or ORG/NAME on the hub.

  hf         a folder for transformers with float masters, quantised at every forward
  hf-packed  the same with 2 bits per weight
  gguf       a file for llama.cpp, and a Modelfile for Ollama next to it
  peft       a LoRA adapter alone, as a folder for PEFT
  gguf-lora  the same as a file for llama.cpp's --lora

A folder gets a model card: README.md, and the run's curves as curves.svg.

The types of a GGUF file's projections: f32 and f16, tq2_0 (2.06 bits) and tq1_0
(1.69 bits) for widths that are multiples of 256, q4_0 (4.5 bits) for multiples
of 32. All hold the ternary weights exactly; the default is the smallest of
tq2_0, q4_0 and f16 that fits.

A LoRA adapter (--adapter, or a run that trained one) stays a file of its own with peft
and gguf-lora; llama.cpp adds it to a model that was exported with --for-lora. With
--merge the other formats write a model that has it in its ternary weights, which loses
what is smaller than a rounding. With --merge --float, hf and gguf (f16 or f32) write a
float model that loses almost nothing, but is larger, and for other programs only. Both
print the loss with the adapter and after merging.`,
		Example: `  bitnet export runs/my_run --format hf -o my-model
  bitnet export runs/my_run --format hf-packed -o my-model-packed --check
  bitnet export runs/my_run --format gguf --type tq2_0 -o my-model.gguf --check --verify
  bitnet export my_model --format gguf --for-lora -o my-model.gguf
  bitnet export my_lora_run --format gguf-lora -o my-lora.gguf
  bitnet export my_lora_run --merge --format hf -o merged
  bitnet export my_lora_run --merge --float --format gguf -o merged.gguf`,
		Args: exactly(1, modelArgument),
		RunE: func(c *cobra.Command, args []string) error {
			if o.Out == "" {
				return usageError{fmt.Errorf("say where to write with -o; see %s --help", c.CommandPath())}
			}
			if about.License != "" && (noCard || o.Format != "hf" && o.Format != "hf-packed") {
				return usageError{fmt.Errorf("--license is for the model card, which only the folder of hf and hf-packed has, without --no-card")}
			}
			if err := card.CheckLicense(about.License); err != nil {
				return usageError{err}
			}
			o.Note = noteTo(c)
			if !noCard {
				o.Extra = func(source, folder string) error {
					about.Format, about.Float = o.Format, o.Float
					return share.WriteCard(source, folder, about)
				}
			}
			o.Merged = m.measure(c, args[0], &o)
			e, err := export.Export(c.Context(), args[0], o)
			if err != nil {
				return err
			}
			out := c.OutOrStdout()
			form := o.Format
			if e.Type != "" {
				form += " " + e.Type
			}
			fmt.Fprintf(out, "wrote %s, %.4g MiB: %s\n", form, float64(e.Bytes)/(1<<20), strings.Join(e.Files, ", "))
			if o.Check {
				fmt.Fprintf(out, "read again: all %d tensors and the tokenizer match the model\n", e.Tensors)
			}
			if v := e.Verified; v != nil {
				fmt.Fprintf(out, "largest difference of logits over %d random tokens: %.2g (logits range from %.1f to %.1f)\n", v.Tokens, v.Largest, v.Range[0], v.Range[1])
				if v.Elsewhere != "" {
					fmt.Fprintf(out, "expect from llama.cpp, where activations are %s: %.2g, and the same likeliest token at %d of %d\n",
						v.Elsewhere, v.ElsewhereLargest, v.SameToken, v.Tokens)
				}
			}
			return nil
		},
	}
	fl := c.Flags()
	runsDirFlag(fl, &o.RunsDir)
	loraFlag(fl, &o.Adapter)
	fl.BoolVar(&o.Merge, "merge", false, "make a model of the model and its LoRA adapter, ternary again without --float, and print how the loss changes")
	fl.BoolVar(&o.Float, "float", false, "with --merge, make a float model, in which nothing is quantised, for --format hf or gguf")
	m.add(fl)
	fl.StringVar(&o.Format, "format", "hf", strings.Join(export.Formats, ", "))
	fl.StringVar(&o.Type, "type", "", "of a GGUF file: "+strings.Join(export.Types, ", "))
	fl.StringVarP(&o.Out, "output", "o", "", "new folder, or for gguf and gguf-lora a file whose name ends in .gguf (required)")
	fl.BoolVar(&o.Check, "check", false, "read the output again, and compare every weight, scale and token")
	fl.BoolVar(&o.Verify, "verify", false, "print the largest difference of logits between the model and the output")
	fl.BoolVar(&o.ForLoRA, "for-lora", false, "write a GGUF file to which llama.cpp can add a LoRA adapter: scales are part of the weights, rounded to 16 bits")
	fl.BoolVar(&o.Force, "force", false, "write a GGUF file of a relu2 model, which llama.cpp computes differently")
	fl.StringVar(&about.License, "license", "", "license in the model card, by the hub's identifier: mit, apache-2.0, cc-by-4.0, other, ...")
	fl.BoolVar(&noCard, "no-card", false, "write no model card (README.md, curves.svg) into the folder of hf and hf-packed")
	return c
}

// mergeFlags say on what the loss of a merged model is measured.
type mergeFlags struct {
	adapterFlags
	data string
	rows int
}

func (f *mergeFlags) add(fl *pflag.FlagSet) {
	f.adapterFlags.add(fl)
	fl.StringVar(&f.data, "data", "", "with --merge, data to measure the loss on: "+catalog.Help()+" (default: the run's validation data)")
	fl.IntVar(&f.rows, "rows", 64, "with --merge, measure on at most N sequences (0: all)")
}

// measure prints what merging changed of the loss, before anything is written.
func (f *mergeFlags) measure(c *cobra.Command, path string, o *export.Options) func(func(*gpu.Device) (*model.Model, error)) error {
	return func(merged func(*gpu.Device) (*model.Model, error)) error {
		dev, err := f.open(c)
		if err != nil {
			return err
		}
		defer dev.Close()
		e := train.EvalOptions{Options: eval.Options{Rows: f.rows}, RunsDir: o.RunsDir, Adapter: o.Adapter, Note: noteTo(c)}
		if f.data != "" {
			e.Data = catalog.Source(f.data, "")
		}
		before, after, err := train.MergedLoss(c.Context(), dev, path, e, merged)
		if errors.Is(err, train.ErrNoData) {
			noteTo(c)("the change of the loss is not measured: name data with --data")
			return nil
		}
		if o.Float && errors.Is(err, train.ErrUnmeasured) { // other programs may have room for it
			noteTo(c)(fmt.Sprintf("validation loss %.4f with the adapter over %d tokens; not measured after merging: %v", before.Mean, before.Tokens, err))
			return nil
		}
		if err != nil {
			return fmt.Errorf("measuring the loss of the merged model: %w", err)
		}
		fmt.Fprintf(c.OutOrStdout(), "validation loss %.4f with the adapter, %.4f merged: %+.4f over %d tokens\n", before.Mean, after.Mean, after.Mean-before.Mean, before.Tokens)
		return nil
	}
}
