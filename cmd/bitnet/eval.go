package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/runs"
	"bitnet/bitnet/task/catalog"
	"bitnet/bitnet/train"
)

func evalCommand() *cobra.Command {
	var o train.EvalOptions
	var f modelFlags
	var tests suiteFlags
	var logprobs string
	var asJSON bool
	c := &cobra.Command{
		Use:   "eval MODEL",
		Short: "Measure validation loss and perplexity, and exact match or games where a task has them",
		Long: `Measure a model: the validation loss, over data that it was never trained on, and
what its task examines, such as exact match in arithmetic, or games. For text also
the bits per byte, loss x tokens / (ln 2 x bytes), which compares models with
different tokenizers.

Without --data, a run is measured on its validation data. With --data, text and
token files are measured whole, with the model's own tokenizer; token shards on
their validation documents.

With --suite, a language model answers public test sets: of each question's
choices it takes the one that is likeliest as the continuation. Prompts, metrics and
standard errors are those of lm-evaluation-harness (lm-eval), without examples
(0-shot), so that the values can be compared with published ones; --json prints
the form of lm-eval's results. The data comes from the hub (HF_ENDPOINT, HF_HOME,
HF_TOKEN and HF_HUB_OFFLINE as for huggingface_hub), or from --suite-data.

` + modelHelp,
		Example: `  bitnet eval bitnet_arithmetic_20260101_120000
  bitnet eval runs/my_run/checkpoints/step_00002000 --json
  bitnet eval my_run --data other-texts/
  bitnet eval my_model --adapter my_lora_run --data other-texts/
  bitnet eval my_run --data tokens:ids.u16 --logprobs out.jsonl

  # all public test sets, and a quick look at two of them
  bitnet eval my_run --suite core --json
  bitnet eval my_run --suite hellaswag,arc_easy --limit 200

  # without the hub: tests/piqa.parquet, tests/lambada_openai.jsonl, ...
  bitnet eval my_run --suite piqa,lambada --suite-data tests`,
		Args: exactly(1, modelArgument),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if err := tests.check(c); err != nil {
				return err
			}
			if tests.tasks != "" {
				return tests.run(c, &f, args[0], asJSON)
			}
			dev, err := f.open(c)
			if err != nil {
				return err
			}
			defer dev.Close()
			if logprobs != "" {
				file, e := os.Create(logprobs)
				if e != nil {
					return fmt.Errorf("--logprobs: %w", e)
				}
				w := bufio.NewWriter(file)
				enc := json.NewEncoder(w)
				o.Each = func(p infer.TokenLogProb) error { return enc.Encode(p) }
				defer func() { err = errors.Join(err, w.Flush(), file.Close()) }()
			}
			o.RunsDir, o.Adapter, o.Note = f.runsDir, f.lora, noteTo(c)
			if o.Data != "" {
				o.Data = catalog.Source(o.Data, "")
			}
			e, err := train.Evaluate(c.Context(), dev, args[0], o)
			if err != nil {
				return err
			}
			out := c.OutOrStdout()
			if asJSON {
				return json.NewEncoder(out).Encode(e)
			}
			printEval(out, &e)
			return nil
		},
	}
	c.Flags().StringVar(&o.Data, "data", "", "data to measure on: "+catalog.Help()+" (default: the run's validation data)")
	c.Flags().StringVar(&logprobs, "logprobs", "", "write the log-probability of every token to a file, as JSON lines")
	c.Flags().IntVar(&o.Rows, "rows", 0, "at most N sequences, and N problems or games (default: all)")
	tests.add(c)
	f.add(c.Flags())
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printEval(out io.Writer, e *runs.Eval) {
	if e.Step > 0 {
		fmt.Fprintf(out, "step %d: ", e.Step)
	}
	fmt.Fprintf(out, "validation loss %.4f over %d tokens, perplexity %.3f\n", float64(e.Loss), e.Tokens, float64(e.Perplexity))
	for _, s := range e.Scores {
		if s.Part == "" {
			fmt.Fprintf(out, "%s: %s\n", s.Name, s)
		} else {
			fmt.Fprintf(out, "  %-14s %s\n", s.Part, s)
		}
	}
}
