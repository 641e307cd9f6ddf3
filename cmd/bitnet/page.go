package main

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"runtime"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"bitnet/bitnet/page"
)

// pageFlags are those of the commands that serve a page.
type pageFlags struct {
	addr string
	open bool
}

func (f *pageFlags) add(fs *pflag.FlagSet, addr string) {
	fs.StringVar(&f.addr, "addr", addr, "address and port to serve on; port 0 takes a free one")
	fs.BoolVar(&f.open, "open", false, "open the page in the browser")
}

// serve serves a page until the command is stopped. does is what the page does,
// for the line that names its address; handler gets the host name by which the
// server may be called.
func (f *pageFlags) serve(c *cobra.Command, does string, handler func(host string) (http.Handler, error)) error {
	host, _, _ := net.SplitHostPort(f.addr)
	h, err := handler(host)
	if err != nil {
		return err
	}
	l, err := page.Listen(f.addr)
	if err != nil {
		return err
	}
	url := "http://" + pageAddress(l.Addr()) + "/"
	fmt.Fprintf(c.OutOrStdout(), "%s %s; Ctrl-C stops\n", url, does)
	if a, err := netip.ParseAddrPort(l.Addr().String()); err == nil && !a.Addr().IsLoopback() {
		fmt.Fprintln(c.ErrOrStderr(), "bitnet: other machines can read this page: it has no password")
	}
	if f.open {
		if err := openBrowser(url); err != nil {
			fmt.Fprintf(c.ErrOrStderr(), "bitnet: no browser could be started (%v): open %s yourself\n", err, url)
		}
	}
	return page.Serve(c.Context(), l, h)
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
