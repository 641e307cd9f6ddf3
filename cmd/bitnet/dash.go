package main

import (
	"net/http"

	"github.com/spf13/cobra"

	"bitnet/bitnet/dash"
)

func dashCommand() *cobra.Command {
	var runsDir string
	var f pageFlags
	c := &cobra.Command{
		Use:   "dash",
		Short: "Show all runs live in the browser",
		Long: `Serve a page that shows all runs while they train: curves with zoom and
comparison, ternary weights, samples, anomalies, configurations. It only reads
the run directories, and contacts no other machine. Ctrl-C stops it; training
continues.

The page is served to this machine only. To see it from elsewhere, tunnel:
ssh -L 6006:127.0.0.1:6006 MACHINE.`,
		Example: `  bitnet dash
  bitnet dash --open
  bitnet dash --runs-dir experiments --addr 127.0.0.1:7000`,
		Args: exactly(0, "flags only"),
		RunE: func(c *cobra.Command, _ []string) error {
			return f.serve(c, "shows the runs in "+runsDir, func(host string) (http.Handler, error) {
				return dash.Handler(runsDir, host), nil
			})
		},
	}
	c.Flags().StringVar(&runsDir, "runs-dir", "runs", "where runs are kept")
	f.add(c.Flags(), "127.0.0.1:6006")
	return c
}
