package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bitnet/bitnet"
	"bitnet/gpu"
)

func benchCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure speed",
		Example: `  bitnet bench step --exp arithmetic --batch-size 64
  bitnet bench step --exp simple --json`,
	}
	c.AddCommand(benchStepCommand())
	return c
}

func benchStepCommand() *cobra.Command {
	var f trainFlags
	var repeat int
	var asJSON, kernels bool
	c := &cobra.Command{
		Use:   "step",
		Short: "Measure whole training steps, and the share of each kind of kernel",
		Example: `  bitnet bench step --exp arithmetic --batch-size 64 --seq-len 64
  bitnet bench step --exp arithmetic --kernels`,
		Args: exactly(0, "flags only"),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := f.configuration(c)
			if err != nil {
				return err
			}
			dev, err := gpu.OpenOn(f.backend, f.device)
			if err != nil {
				return err
			}
			defer dev.Close()
			b, err := bitnet.BenchStep(c.Context(), cfg, dev, repeat)
			if err != nil {
				return err
			}
			out := c.OutOrStdout()
			if asJSON {
				return json.NewEncoder(out).Encode(b)
			}
			fmt.Fprintf(out, "%s, %s (%s)\n", cfg.Name, b.Device, b.Driver)
			fmt.Fprintf(out, "step of %d tokens: median %.1f ms of %d, %.0f tokens/s, %.2f GFLOP/s\n", b.Tokens, b.StepMS, repeat, b.TokensPerSec, b.GFlops)
			fmt.Fprintf(out, "first step with compiling %.1f s; device memory %d MiB; host %.2f ms a step; %.1f allocations, %d readbacks a step\n",
				b.FirstStepS, b.DeviceMemory>>20, b.HostMS, b.AllocsPerStep, b.ReadsPerStep)
			if b.Profile == nil {
				fmt.Fprintln(out, "this adapter has no timestamps: no profile by kernel")
				return nil
			}
			printProfile(out, b.Profile, kernels)
			return nil
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.exp, "exp", "arithmetic", "experiment: "+strings.Join(bitnet.Presets(), ", "))
	fl.StringArrayVar(&f.set, "set", nil, "change a value of the configuration: key=value")
	fl.IntVar(&f.batch, "batch-size", 0, "sequences of a micro-batch")
	fl.IntVar(&f.seq, "seq-len", 0, "tokens of a sequence")
	fl.IntVar(&f.accum, "grad-accum", 0, "micro-batches of a step")
	fl.StringVar(&f.device, "device", "", "adapter by number or part of its name")
	fl.StringVar(&f.backend, "backend", "", backendHelp)
	fl.IntVar(&repeat, "repeat", 7, "steps to measure")
	fl.BoolVar(&asJSON, "json", false, "print JSON")
	fl.BoolVar(&kernels, "kernels", false, "list each kernel and not each operation")
	return c
}

func printProfile(out interface{ Write([]byte) (int, error) }, all []bitnet.KernelTime, kernels bool) {
	type group struct {
		name  string
		n     int
		time  time.Duration
		flops float64
	}
	byName := map[string]*group{}
	var total time.Duration
	for _, k := range all {
		name := k.Op
		if kernels {
			name = k.Op + ": " + k.Kernel
		}
		g := byName[name]
		if g == nil {
			g = &group{name: name}
			byName[name] = g
		}
		g.n++
		g.time += k.Time
		g.flops += k.Flops
		total += k.Time
	}
	var groups []*group
	for _, g := range byName {
		groups = append(groups, g)
	}
	slices.SortFunc(groups, func(a, b *group) int { return int(b.time - a.time) })
	fmt.Fprintf(out, "%8s %6s %9s %6s  %s\n", "ms", "share", "GFLOP/s", "calls", "kernels")
	for _, g := range groups {
		fmt.Fprintf(out, "%8.2f %5.1f%% %9.2f %6d  %s\n", float64(g.time)/1e6, 100*float64(g.time)/float64(max(total, 1)),
			g.flops/max(g.time.Seconds(), 1e-9)/1e9, g.n, g.name)
	}
}
