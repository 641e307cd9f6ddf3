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
	"github.com/spf13/pflag"

	"bitnet/data/printable"
)

func main() {
	prepareConsole()
	stops := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup ignores it
		stops = append(stops, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), stops...)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the program at once
	}()
	os.Exit(run(ctx, rootCommand()))
}

// run executes a command and gives the exit code: 0 for success, 1 for an
// error, 2 for a mistake in the command line, 130 after Ctrl-C.
func run(ctx context.Context, root *cobra.Command) int {
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled):
		return 130
	case !errors.As(err, new(reportedError)):
		printError(root, err)
	}
	if isUsage(err) {
		return 2
	}
	return 1
}

// printError prints an error.
func printError(c *cobra.Command, err error) {
	fmt.Fprintln(c.ErrOrStderr(), "bitnet:", printable.String(err.Error()))
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "bitnet",
		Short: "Train BitNet b1.58 language models on any GPU",
		Long: `bitnet trains language models with ternary weights and int8 activations
(BitNet b1.58) with WGSL compute shaders on any GPU, or on the CPU.`,
		Example: `  bitnet train --exp simple
  bitnet train --exp arithmetic --num-steps 2000
  bitnet eval bitnet_arithmetic_20260101_120000
  bitnet doctor`,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetVersionTemplate("bitnet {{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	root.SetGlobalNormalizationFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "out" { // as it was called before every command had the same name for it
			name = "output"
		}
		return pflag.NormalizedName(name)
	})
	root.AddCommand(trainCommand(), evalCommand(), dataCommand(), tokenizerCommand(), exportCommand(), generateCommand(), chatCommand(), serveCommand(), swarmCommand(),
		playCommand(), arenaCommand(), statusCommand(), plotCommand(), dashCommand(), webCommand(), devicesCommand(), doctorCommand(), costCommand(), benchCommand(),
		tuneCommand(), sweepCommand(), shaderCommand(), versionCommand(), runsCommand(), pushCommand(), pullCommand())
	refuseUnknown(root)
	addCompletions(root)
	return root
}
