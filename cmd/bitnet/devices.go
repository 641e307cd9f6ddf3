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
	c := &cobra.Command{
		Use:   "devices",
		Short: "List the graphics adapters and what training would use",
		Example: `  bitnet devices
  bitnet devices --json`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := gpu.Adapters()
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
				fmt.Fprintf(out, "   buffer %d MiB, binding %d MiB, %d bindings a kernel, workgroup memory %d KiB, %d invocations\n",
					l.BufferSize>>20, l.BindingSize>>20, l.StorageBindings, l.WorkgroupMemory>>10, l.WorkgroupInvocations)
				features := "none"
				if len(a.Features) > 0 {
					features = strings.Join(a.Features, ", ")
				}
				fmt.Fprintf(out, "   features: %s\n", features)
			}
			why := "the only one"
			if len(all) > 1 {
				why = "the first " + all[chosen].Kind.String() + "; another one with --device"
			}
			fmt.Fprintf(out, "training uses %d (%s)\n", chosen, why)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
