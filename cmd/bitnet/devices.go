package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"bitnet/gpu"
)

func devicesCommand() *cobra.Command {
	var asJSON bool
	var backend string
	c := &cobra.Command{
		Use:   "devices",
		Short: "List the graphics adapters and what training would use",
		Example: `  bitnet devices
  bitnet devices --json
  bitnet devices --backend dawn`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := gpu.AdaptersOf(backend)
			if err != nil {
				return err
			}
			chosen, err := gpu.Choose(all, "")
			if err != nil {
				return err
			}
			out := c.OutOrStdout()
			if asJSON {
				return json.NewEncoder(out).Encode(map[string]any{"adapters": all, "chosen": chosen})
			}
			for i, a := range all {
				fmt.Fprintf(out, "%d  %s\n   %s, %s through %s, driver %s\n", i, a.Name, a.Kind, a.API, a.Backend, a.Driver)
				l := a.Limits
				fmt.Fprintf(out, "   buffer %d MiB, binding %d MiB, %d bindings per kernel, workgroup memory %d KiB, %d invocations\n",
					l.BufferSize>>20, l.BindingSize>>20, l.StorageBindings, l.WorkgroupMemory>>10, l.WorkgroupInvocations)
				features := "none"
				if len(a.Features) > 0 {
					features = strings.Join(a.Features, ", ")
				}
				fmt.Fprintf(out, "   features: %s\n", features)
				if len(a.Matrices) > 0 {
					fmt.Fprintf(out, "   matrix units: %s\n", shapes(a.Matrices))
				}
			}
			why := "the only one"
			if len(all) > 1 {
				why = "the first " + all[chosen].Kind.String() + "; choose a different one with --device"
			}
			fmt.Fprintf(out, "training uses %d (%s)\n", chosen, why)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().StringVar(&backend, "backend", "", backendHelp)
	return c
}

func shapes(all []gpu.MatrixShape) string {
	var out []string
	for _, m := range all {
		out = append(out, fmt.Sprintf("%dx%dx%d %s to %s", m.M, m.N, m.K, m.Component, m.Result))
	}
	return strings.Join(out, ", ")
}
