package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bitnet/bitnet/runs"
	"bitnet/bitnet/swarm"
	"bitnet/data/plainfile"
	"bitnet/data/printable"
)

func swarmCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "swarm",
		Short: "Train one model on several machines over slow links",
		Long: `Train one model on machines that only slow links connect, such as the PCs of
friends. One machine serves the meeting point; every other joins at any time with
bitnet train --swarm, and may leave at any time. docs/swarm.md explains it.`,
		Example: `  bitnet swarm serve
  bitnet swarm status`,
		Args: exactly(0, "a subcommand: serve or status"),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(swarmServeCommand(), swarmStatusCommand())
	return c
}

func swarmServeCommand() *cobra.Command {
	o := swarm.ServeOptions{Rules: swarm.DefaultRules()}
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve the meeting point of a swarm",
		Long: `Serve the meeting point where workers exchange what they learnt. It needs no GPU
and no training data. It embeds a NATS server, or uses yours (--nats).

Only this machine can join. --listen opens it to others: whoever has the token can
join then, so add --tls where the network is not private. The weights and all else
are kept in --dir: after Ctrl-C, or a crash, start it again with the same flags, and
the workers continue.`,
		Example: `  bitnet swarm serve
  bitnet swarm serve --listen 0.0.0.0:4222 --tls
  bitnet swarm serve --local-steps 500 --dir my-swarm
  bitnet swarm serve --nats nats://nats.example:4222 --token "$TOKEN"`,
		Args: exactly(0, "flags only"),
		RunE: func(c *cobra.Command, _ []string) error { return serveSwarm(c, &o) },
	}
	fl := c.Flags()
	fl.StringVar(&o.Listen, "listen", "127.0.0.1:"+swarm.DefaultPort, "address and port to listen on; port 0 takes a free one")
	fl.StringVar(&o.Dir, "dir", "swarm", "where weights, token and certificate are kept")
	fl.StringVar(&o.Token, "token", "", "token that workers need (default $"+swarmTokenVariable+", or one that is made and kept in --dir)")
	fl.BoolVar(&o.TLS, "tls", false, "encrypt connections, with a certificate that is made and kept in --dir")
	fl.StringVar(&o.Cert, "tls-cert", "", "encrypt connections with the certificate in this PEM file")
	fl.StringVar(&o.Key, "tls-key", "", "key of --tls-cert, a PEM file")
	fl.StringVar(&o.NATS, "nats", "", "use this NATS server with JetStream instead of the embedded one: nats://HOST:4222")
	fl.StringVar(&o.Name, "name", swarm.DefaultName, "name of the swarm, where one NATS server has several")
	fl.IntVar(&o.LocalSteps, "local-steps", o.LocalSteps, "steps that the fastest worker trains between two exchanges")
	fl.IntVar(&o.GrowSteps, "grow-steps", o.GrowSteps, "let rounds grow from 1 local step to --local-steps over the first N steps (0: all have --local-steps)")
	fl.BoolVar(&o.Even, "even", false, "let every worker finish its local steps: for machines of equal speed")
	fl.DurationVar(&o.Patience, "patience", o.Patience, "how long a round waits for the changes of slower workers and links")
	fl.DurationVar(&o.Silence, "silence", o.Silence, "a worker that gives no sign of life for so long is not waited for")
	fl.Float64Var(&o.OuterRate, "outer-rate", o.OuterRate, "learning rate of the outer optimizer, which applies the mean of the changes; -1: 0.7, up to 1 in a run of few rounds")
	fl.Float64Var(&o.OuterMomentum, "outer-momentum", o.OuterMomentum, "its Nesterov momentum; -1: 0.9, less in a run of few rounds")
	fl.IntVar(&o.MostWorkers, "max-workers", o.MostWorkers, "at most N workers at a time")
	fl.Int64Var(&o.MostParameter, "max-parameters", o.MostParameter, "largest model that the first worker may bring")
	return c
}

func serveSwarm(c *cobra.Command, o *swarm.ServeOptions) error {
	if o.Token == "" {
		o.Token = os.Getenv(swarmTokenVariable)
	}
	switch {
	case (o.Cert == "") != (o.Key == ""):
		return usageError{errors.New("--tls-cert and --tls-key belong together")}
	case o.NATS != "" && (o.TLS || o.Cert != "" || c.Flags().Changed("listen")):
		return usageError{errors.New("--listen and --tls are of the embedded server: leave them out with --nats")}
	}
	if err := o.Rules.Check(); err != nil {
		return usageError{err}
	}
	out := c.OutOrStdout()
	o.Log = func(line string) {
		fmt.Fprintln(out, time.Now().Format("15:04:05"), printable.String(line))
	}
	o.Ready = func(join swarm.Address, token string) { announceSwarm(c, o, join, token) }
	return swarm.Serve(c.Context(), *o)
}

// announceSwarm says how to join.
func announceSwarm(c *cobra.Command, o *swarm.ServeOptions, join swarm.Address, token string) {
	out := c.OutOrStdout()
	fmt.Fprintf(out, "serving the swarm %s on %s; Ctrl-C stops\n", join.Name, join.Host)
	if o.NATS == "" {
		fmt.Fprintf(out, "state in %s\n", printable.String(o.Dir))
	}
	local := true
	if a, err := netip.ParseAddrPort(join.Host); err == nil && !a.Addr().IsLoopback() {
		local = false
		if a.Addr().IsUnspecified() {
			join.Host = net.JoinHostPort("HOST", fmt.Sprint(a.Port()))
		}
	}
	fmt.Fprintf(out, "join with: bitnet train --exp NAME --swarm '%s'", join)
	if token != "" {
		fmt.Fprintf(out, " --swarm-token %s", printable.Shell(token))
	}
	fmt.Fprintln(out)
	if !local && !join.TLS && o.NATS == "" {
		fmt.Fprintln(c.ErrOrStderr(), "bitnet: connections are not encrypted: use --tls, unless the network is private")
	}
}

func swarmStatusCommand() *cobra.Command {
	var token, dir string
	var asJSON bool
	c := &cobra.Command{
		Use:   "status [ADDRESS]",
		Short: "Show who trains in a swarm",
		Long: `Show the workers of a swarm, their cards, what each contributed, and the last
rounds. The address is that of bitnet train --swarm (default: this machine).`,
		Example: `  bitnet swarm status
  bitnet swarm status nats://my-pc.example:4222 --swarm-token "$TOKEN"
  bitnet swarm status --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			address := "127.0.0.1"
			if len(args) > 0 {
				address = args[0]
			}
			if token == "" && os.Getenv(swarmTokenVariable) == "" {
				// Next to the meeting point's own folder nobody has to look up the token.
				if text, err := plainfile.Read(filepath.Join(dir, "token"), 1<<10); err == nil {
					token = strings.TrimSpace(string(text))
				}
			}
			client, err := dialSwarm(c, address, token, noteTo(c))
			if err != nil {
				return err
			}
			defer client.Close()
			s, err := client.Status(c.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(s)
			}
			printSwarm(c.OutOrStdout(), s, time.Now())
			return nil
		},
	}
	c.Flags().StringVar(&token, "swarm-token", "", "token of the swarm (default $"+swarmTokenVariable+")")
	c.Flags().StringVar(&dir, "dir", "swarm", "folder of bitnet swarm serve, whose token is used where none is given")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// printSwarm prints a swarm at a glance.
func printSwarm(out io.Writer, s *runs.Swarm, now time.Time) {
	fmt.Fprintf(out, "swarm %s  %s\n", printable.String(s.Name), s.Phase)
	if s.ID == "" {
		return
	}
	fmt.Fprintf(out, "round %s, step %s of %s, %s parameters, %s tokens, at most %d local steps in a round\n\n",
		thousands(s.Round), thousands(s.Step), thousands(s.Steps), count(float64(s.Parameters)), count(float64(s.Tokens)), s.LocalSteps)
	fmt.Fprintf(out, "%-20s %-8s %-24s %10s %7s %9s %9s %9s %9s %8s\n", "worker", "here", "card", "tokens/s", "rounds", "steps", "tokens", "sent", "received", "left out")
	for _, w := range s.Workers {
		here := "now"
		if !w.Here {
			here = brief(now.Sub(w.Seen))
		}
		fmt.Fprintf(out, "%-20s %-8s %-24s %10s %7d %9d %9s %9s %9s %8d\n", cut(printable.String(w.Name), 20), here, cut(printable.String(w.Card), 24),
			count(w.TokensPerSec), w.Rounds, w.Steps, count(float64(w.Tokens)), bytesText(w.Sent), bytesText(w.Received), w.LeftOut)
	}
	if len(s.Rounds) == 0 {
		return
	}
	fmt.Fprintf(out, "\n%7s %9s %8s %11s %9s %9s  %s\n", "round", "step", "workers", "local steps", "seconds", "loss", "left out")
	for _, r := range s.Rounds[max(0, len(s.Rounds)-8):] {
		fmt.Fprintf(out, "%7d %9d %8d %11d %9.1f %9.4f  %s\n", r.Round, r.Step, r.Workers, r.Steps, r.Seconds, float64(r.Loss), printable.String(strings.Join(r.LeftOut, "; ")))
	}
}

// swarmText is a line about the swarm that a run trains in, as it last knew it.
func swarmText(s *runs.Swarm) string {
	here := 0
	for _, w := range s.Workers {
		if w.Here {
			here++
		}
	}
	return printable.String(fmt.Sprintf("%s as %s, %s: round %s, %d workers, %s tokens together", s.Name, s.Me, s.Phase, thousands(s.Round), here, count(float64(s.Tokens))))
}
