package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"bitnet/bitnet"
)

func evalCommand() *cobra.Command {
	var o bitnet.EvalOptions
	var on adapterFlags
	var logprobs string
	var asJSON bool
	c := &cobra.Command{
		Use:   "eval RUN|CHECKPOINT",
		Short: "Measure loss, perplexity, and answers or games where a model gives them",
		Example: `  bitnet eval runs/bitnet_arithmetic_20260101_120000
  bitnet eval runs/my_run/checkpoints/step_00002000 --json
  bitnet eval runs/my_run --data tokens:ids.u16 --logprobs out.jsonl`,
		Args: exactly(1, "a run or a checkpoint"),
		RunE: func(c *cobra.Command, args []string) (err error) {
			dev, err := on.open(c)
			if err != nil {
				return err
			}
			defer dev.Close()
			if logprobs != "" {
				f, e := os.Create(logprobs)
				if e != nil {
					return fmt.Errorf("--logprobs: %w", e)
				}
				w := bufio.NewWriter(f)
				enc := json.NewEncoder(w)
				o.Each = func(p bitnet.TokenLogProb) error { return enc.Encode(p) }
				defer func() { err = errors.Join(err, w.Flush(), f.Close()) }()
			}
			r, err := bitnet.Evaluate(c.Context(), dev, args[0], o, noteTo(c))
			if err != nil {
				return err
			}
			out := c.OutOrStdout()
			if asJSON {
				return json.NewEncoder(out).Encode(r)
			}
			fmt.Fprintf(out, "step %d: loss %.4f over %d tokens, perplexity %.3f\n", r.Step, r.Loss, r.Tokens, r.Perplexity)
			if r.ExactMatch != nil {
				fmt.Fprintf(out, "right answers on problems never trained on: %.1f%% of %d\n", 100**r.ExactMatch, r.Problems)
				fmt.Fprintln(out, "  by operator and the digits of the larger operand:")
				op := ""
				for _, d := range r.Digits {
					if d.Operator != op {
						op = d.Operator
						fmt.Fprintf(out, "  %s  %5.1f%%\n", op, 100*r.Operators[op])
					}
					fmt.Fprintf(out, "     %d: %5.1f%% of %d\n", d.Digits, 100*float64(d.Right)/float64(d.Problems), d.Problems)
				}
			}
			if a := r.Arena; a != nil {
				fmt.Fprintf(out, "%d games against a random player: %d won, %d drawn, %d lost; %.2f%% of %d moves legal\n",
					a.Games, a.Wins, a.Draws, a.Losses, 100*a.LegalRate(), a.Moves)
			}
			return nil
		},
	}
	c.Flags().StringVar(&o.Data, "data", "", "what to measure on: tokens:FILE (default: what the run holds out)")
	c.Flags().StringVar(&logprobs, "logprobs", "", "write the log-probability of every token to a file, as JSON lines")
	c.Flags().IntVar(&o.Rows, "rows", 0, "at most so many sequences, and problems (default: all)")
	on.add(c.Flags())
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
