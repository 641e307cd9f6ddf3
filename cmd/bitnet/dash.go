package main

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"runtime"

	"github.com/spf13/cobra"

	"bitnet/bitnet/dash"
	"bitnet/bitnet/page"
)

func dashCommand() *cobra.Command {
	var runsDir, addr string
	var open bool
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
			l, err := page.Listen(addr)
			if err != nil {
				return err
			}
			out := c.OutOrStdout()
			url := "http://" + pageAddress(l.Addr()) + "/"
			fmt.Fprintf(out, "%s shows the runs in %s; Ctrl-C stops\n", url, runsDir)
			host, _, _ := net.SplitHostPort(addr)
			if a, err := netip.ParseAddrPort(l.Addr().String()); err == nil && !a.Addr().IsLoopback() {
				fmt.Fprintln(c.ErrOrStderr(), "bitnet: other machines can read this page: it has no password")
			}
			if open {
				if err := openBrowser(url); err != nil {
					fmt.Fprintf(c.ErrOrStderr(), "bitnet: no browser could be started (%v): open %s yourself\n", err, url)
				}
			}
			return dash.Serve(c.Context(), l, runsDir, host)
		},
	}
	c.Flags().StringVar(&runsDir, "runs-dir", "runs", "where runs are kept")
	c.Flags().StringVar(&addr, "addr", "127.0.0.1:6006", "address and port to serve on; port 0 takes a free one")
	c.Flags().BoolVar(&open, "open", false, "open the page in the browser")
	return c
}

// pageAddress is where a browser on this machine finds the page.
func pageAddress(a net.Addr) string {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil || !at.Addr().IsUnspecified() {
		return a.String()
	}
	return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), at.Port()).String()
}

func openBrowser(url string) error {
	name, args := "xdg-open", []string{url}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", url}
	}
	cmd := exec.Command(name, args...)
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }()
	return nil
}
