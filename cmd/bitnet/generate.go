package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"bitnet/bitnet/infer"
	"bitnet/data/printable"
)

// samplingFlags adds the flags of sampling; the seed is random by default.
func samplingFlags(fl *pflag.FlagSet) *infer.Sampling {
	s := infer.DefaultSampling()
	fl.Float64Var(&s.Temperature, "temp", s.Temperature, "temperature; 0 always takes the likeliest token")
	fl.IntVar(&s.TopK, "top-k", s.TopK, "choose among the k likeliest tokens; 0 for all")
	fl.Float64Var(&s.TopP, "top-p", s.TopP, "choose among the likeliest tokens that make up this probability")
	fl.Float64Var(&s.MinP, "min-p", s.MinP, "choose among tokens at least this often as likely as the likeliest")
	fl.Float64Var(&s.RepetitionPenalty, "repeat-penalty", s.RepetitionPenalty, fmt.Sprintf("make the last %d tokens less likely; 1 is none", infer.PenaltyWindow))
	fl.Uint64Var(&s.Seed, "seed", rand.Uint64(), "random seed for sampling (default: random)")
	fl.Lookup("seed").DefValue = "0"
	return &s
}

func generateCommand() *cobra.Command {
	var f modelFlags
	var prompt string
	var n, limit, context int
	var stop []string
	var asJSON bool
	c := &cobra.Command{
		Use:   "generate MODEL",
		Short: "Continue a text with a trained model",
		Long: `Continue a text.

` + modelHelp,
		Example: `  bitnet generate my_run --prompt "Once upon a time"
  bitnet generate my_run --prompt "25 + 17 = " --temp 0
  bitnet generate my_model --adapter my_lora_run --prompt "Q: What is 2 + 3?"
  bitnet generate my_run --prompt-file start.txt -n 3 --json`,
		Args: exactly(1, modelArgument),
	}
	sampling := samplingFlags(c.Flags())
	var promptFile string
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := sampling.Check(); err != nil {
			return usageError{err}
		}
		if n < 1 {
			return usageError{errors.New("-n: want 1 or more texts")}
		}
		if promptFile != "" {
			text, err := readPrompt(c, promptFile)
			if err != nil {
				return fmt.Errorf("--prompt-file: %w", err)
			}
			prompt = text
		}
		dev, m, err := f.openModel(c, args[0])
		if err != nil {
			return err
		}
		defer dev.Close()
		s, err := m.NewSession(context)
		if err != nil {
			return err
		}
		ids, err := m.Prompt(prompt)
		if err != nil {
			return err
		}
		for i := range n {
			request := infer.Request{Tokens: ids, Limit: limit, Sampling: *sampling, Stop: stop}
			request.Sampling.Seed += uint64(i)
			if n > 1 && !asJSON {
				fmt.Fprintf(c.OutOrStdout(), "--- %d\n", i+1)
			}
			write := writeText
			if asJSON {
				write = writeJSON
			}
			if err := write(c, s, prompt, request); err != nil {
				return err
			}
		}
		return nil
	}
	fl := c.Flags()
	fl.StringVar(&prompt, "prompt", "", "the text to continue")
	fl.StringVar(&promptFile, "prompt-file", "", "a file with the text to continue; - for standard input")
	fl.IntVarP(&n, "count", "n", 1, "number of texts")
	fl.IntVar(&limit, "max-tokens", 256, "at most N new tokens (0: as many as fit the context)")
	fl.IntVar(&context, "context", 0, "at most N tokens of prompt and text (default: the model's context, up to 4096)")
	fl.StringArrayVar(&stop, "stop", nil, "end before this text; may be repeated")
	f.add(fl)
	fl.BoolVar(&asJSON, "json", false, "print one line of JSON per text")
	return c
}

// readPrompt reads a file, or standard input for "-".
func readPrompt(c *cobra.Command, file string) (string, error) {
	if file == "-" {
		text, err := io.ReadAll(c.InOrStdin())
		return string(text), err
	}
	text, err := os.ReadFile(file)
	return string(text), err
}

// writeText writes the prompt, its continuation as it comes, and a line of figures.
func writeText(c *cobra.Command, s *infer.Session, prompt string, request infer.Request) error {
	out := c.OutOrStdout()
	fmt.Fprint(out, printable.Text(prompt))
	done, err := s.Complete(c.Context(), request, func(text string) error {
		_, err := fmt.Fprint(out, printable.Text(text))
		return err
	})
	fmt.Fprintln(out)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "[%d + %d tokens, %s; prompt %.2f s, %.1f tokens/s]\n", done.PromptTokens, len(done.Tokens), done.Reason,
		done.PromptTime.Seconds(), done.TokensPerSecond())
	return nil
}

// writeJSON writes the continuation and its figures as one line.
func writeJSON(c *cobra.Command, s *infer.Session, prompt string, request infer.Request) error {
	done, err := s.Complete(c.Context(), request, nil)
	if err != nil {
		return err
	}
	return json.NewEncoder(c.OutOrStdout()).Encode(map[string]any{
		"prompt": prompt, "text": done.Text, "tokens": done.Tokens, "reason": done.Reason, "seed": request.Sampling.Seed,
		"prompt_tokens": done.PromptTokens, "prompt_seconds": done.PromptTime.Seconds(), "tokens_per_sec": done.TokensPerSecond(),
	})
}
