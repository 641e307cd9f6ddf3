package main

import (
	"net/http"

	"github.com/spf13/cobra"

	"bitnet/bitnet/web"
)

func webCommand() *cobra.Command {
	var dir string
	var f pageFlags
	c := &cobra.Command{
		Use:   "web",
		Short: "Serve the browser version: play, train, talk and measure on a page",
		Long: `Serve the browser version, which trains and runs models in the browser, on the
GPU of whoever opens the page. It needs a browser with WebGPU. What is trained
there stays in that browser until it is downloaded.

The command serves the folder that make web builds: build/web next to the program
or in the current folder, or the one named with --dir. The same folder works on any
static web host. The page is served to this machine only.`,
		Example: `  bitnet web
  bitnet web --open
  bitnet web --dir build/web --addr 127.0.0.1:7001`,
		Args: exactly(0, "flags only"),
		RunE: func(c *cobra.Command, _ []string) error {
			found, err := web.Find(dir)
			if err != nil {
				return err
			}
			return f.serve(c, "serves the browser version in "+found, func(host string) (http.Handler, error) {
				return web.Handler(found, host)
			})
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "folder that make web built (default: build/web)")
	f.add(c.Flags(), "127.0.0.1:6007")
	return c
}
