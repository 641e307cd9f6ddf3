// Command bitnet trains BitNet b1.58 language models on any GPU, or on the CPU
// through lavapipe.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// usageError is a mistake in the command line: exit code 2.
type usageError struct{ error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the program at once
	}()
	root := rootCommand()
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
	case errors.Is(err, context.Canceled):
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, "bitnet:", err)
		var u usageError
		if errors.As(err, &u) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "bitnet",
		Short: "Train BitNet b1.58 language models on any GPU",
		Long: `bitnet trains language models with ternary weights and int8 activations
(BitNet b1.58) with WGSL compute shaders on any GPU, or on the CPU.`,
		Example: `  bitnet train --exp simple
  bitnet train --exp arithmetic --num-steps 2000
  bitnet eval runs/bitnet_arithmetic_20260101_120000
  bitnet doctor`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s --help", err, c.CommandPath())}
	})
	root.AddCommand(trainCommand(), evalCommand(), dataCommand(), tokenizerCommand(), exportCommand(), generateCommand(), chatCommand(), serveCommand(), playCommand(), arenaCommand(), statusCommand(), plotCommand(), dashCommand(), devicesCommand(), doctorCommand(), costCommand(), benchCommand(), tuneCommand())
	addCompletions(root)
	return root
}

// exactly is cobra.ExactArgs with an error that ends in exit code 2.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{fmt.Errorf("want %s, got %d arguments; see %s --help", what, len(args), c.CommandPath())}
		}
		return nil
	}
}
