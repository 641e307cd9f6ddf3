package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"bitnet/bitnet/runs"
	"bitnet/data/printable"
)

func statusCommand() *cobra.Command {
	var runsDir string
	var watch, asJSON bool
	c := &cobra.Command{
		Use:   "status [RUN]",
		Short: "Show the status of a run, while it trains and afterwards",
		Long: `Show the status of a run: progress, loss and its trend, speed, time left, the
last evaluation and samples, anomalies, and the command to continue with. It
only reads the run's files, so it works while the run trains, after a crash, and
on another machine that sees the folder.

RUN is a run's folder, its name, or the beginning of its name; without it, the
run that changed last.`,
		Example: `  bitnet status
  bitnet status bitnet_arith --watch
  bitnet status runs/my_run --json
  bitnet status list`,
		Args: atMost(1, "one run"),
		RunE: func(c *cobra.Command, args []string) error {
			var run *runs.Run
			var err error
			if len(args) == 0 {
				run, err = runs.Newest(runsDir)
			} else {
				run, err = runs.Find(runsDir, args[0])
			}
			if err != nil {
				return err
			}
			out := c.OutOrStdout()
			frame := func(width int, color bool) (string, error) {
				s, err := run.Status()
				if err != nil {
					return "", fmt.Errorf("reading run %s: %w", printable.String(run.Name), err)
				}
				if asJSON {
					text, err := json.Marshal(statusJSON(&s))
					return string(text) + "\n", err
				}
				return statusText(&s, time.Now(), width, color), nil
			}
			if watch {
				return watchFrames(c.Context(), out, asJSON, frame)
			}
			width, color := terminal(out)
			text, err := frame(width, color)
			if err != nil {
				return err
			}
			_, err = io.WriteString(out, text)
			return err
		},
	}
	c.Flags().BoolVar(&watch, "watch", false, "update every second until Ctrl-C; in a pipe, print when something changes")
	c.PersistentFlags().BoolVar(&asJSON, "json", false, "print JSON")
	c.PersistentFlags().StringVar(&runsDir, "runs-dir", "runs", "where runs are kept")
	c.AddCommand(&cobra.Command{
		Use:   "list",
		Short: "List all runs, the last changed first",
		Example: `  bitnet status list
  bitnet status list --runs-dir experiments --json`,
		Args: exactly(0, "flags only"),
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := runs.List(runsDir)
			if err != nil {
				return err
			}
			out := c.OutOrStdout()
			if asJSON {
				all := make([]map[string]any, len(list))
				for i := range list {
					all[i] = infoJSON(&list[i])
				}
				return json.NewEncoder(out).Encode(all)
			}
			if len(list) == 0 {
				fmt.Fprintf(out, "there is no run in %s yet: start one with bitnet train --exp simple\n", runsDir)
				return nil
			}
			_, err = io.WriteString(out, listText(list, time.Now()))
			return err
		},
	})
	return c
}

// atMost is exactly for commands whose argument can be left out.
func atMost(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) > n {
			return usageError{fmt.Errorf("want at most %s, got %d arguments; see %s --help", what, len(args), c.CommandPath())}
		}
		return nil
	}
}

// terminal is the width of a terminal and whether to use colour there; 0 and
// false for what is not one.
func terminal(w io.Writer) (width int, color bool) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width < 20 {
		width = 80
	}
	return width, os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// watchFrames shows a frame every second until ctx ends: on a terminal in its
// place, on a screen of its own that goes away again; elsewhere every frame
// that differs from the one before.
func watchFrames(ctx context.Context, out io.Writer, asJSON bool, frame func(int, bool) (string, error)) error {
	width, color := terminal(out)
	live := width > 0 && !asJSON
	last := ""
	if live {
		fmt.Fprint(out, "\x1b[?1049h\x1b[?25l")
	}
	err := every(ctx, time.Second, func() error {
		width, color = terminal(out)
		text, err := frame(width, color)
		if err != nil {
			return err
		}
		if !live {
			if text != last {
				last = text
				_, err = io.WriteString(out, text)
			}
			return err
		}
		last = text
		_, height, e := term.GetSize(int(out.(*os.File).Fd()))
		if e != nil || height < 2 {
			height = 24
		}
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		lines = lines[:min(len(lines), height-1)]
		_, err = fmt.Fprintf(out, "\x1b[H%s\x1b[K\x1b[J", strings.Join(lines, "\x1b[K\n"))
		return err
	})
	if live {
		fmt.Fprint(out, "\x1b[?25h\x1b[?1049l", last)
	}
	if errors.Is(err, context.Canceled) {
		return nil // it is how watching ends
	}
	return err
}

// every calls f now and after each pause, until ctx ends or f fails.
func every(ctx context.Context, pause time.Duration, f func() error) error {
	t := time.NewTicker(pause)
	defer t.Stop()
	for {
		if err := f(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}
