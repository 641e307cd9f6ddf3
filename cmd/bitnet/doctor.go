package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"bitnet/bitnet/doctor"
)

func doctorCommand() *cobra.Command {
	var o doctor.Options
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Check adapter, driver, limits, memory and disks, and say what to fix",
		Long: `Check what training needs of this machine: an adapter and its driver, its
limits, one small kernel that really runs, memory, disks, and the cache. Each
line says ok, warn or fail; a line with "->" says what to do. The exit code is 1
if a check fails.`,
		Example: `  bitnet doctor
  bitnet doctor --device 1 --json`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			out := c.OutOrStdout()
			var all []doctor.Finding
			failed := 0
			doctor.Examine(o, func(f doctor.Finding) {
				all = append(all, f)
				if f.Grade == doctor.Fail {
					failed++
				}
				if asJSON {
					return
				}
				fmt.Fprintf(out, "%-4s  %-10s  %s\n", f.Grade, f.Check, f.Says)
				if f.Do != "" {
					fmt.Fprintf(out, "%-4s  %-10s  -> %s\n", "", "", f.Do)
				}
			})
			if asJSON {
				if err := json.NewEncoder(out).Encode(map[string]any{"findings": all, "failed": failed}); err != nil {
					return err
				}
			}
			switch failed {
			case 0:
				return nil
			case 1:
				return errors.New(`1 check failed: follow the advice after "->"`)
			}
			return fmt.Errorf(`%d checks failed: follow the advice after "->"`, failed)
		},
	}
	fl := c.Flags()
	fl.StringVar(&o.Device, "device", "", "adapter by number or part of its name; see bitnet devices")
	fl.StringVar(&o.Backend, "backend", "", backendHelp)
	fl.StringVar(&o.RunsDir, "runs-dir", "runs", "where runs are kept")
	fl.BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
