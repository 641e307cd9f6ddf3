package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bitnet/bitnet/runs"
	"bitnet/data/printable"
)

// runsFlags are the flags of bitnet runs and of the commands below it.
type runsFlags struct{ runsDir string }

func runsCommand() *cobra.Command {
	var f runsFlags
	var tag, order string
	var asJSON bool
	c := &cobra.Command{
		Use:   "runs",
		Short: "List, rename, annotate and remove runs",
		Long: `List the runs with their sizes, the last changed first; the commands below
rename, annotate, prune and remove them. A run that is being trained is neither
renamed, nor pruned, nor removed.

RUN is a run's folder, its name, or the beginning of its name.`,
		Example: `  bitnet runs
  bitnet runs --tag paper --sort size
  bitnet runs note my_run "learning rate too high after step 2000"
  bitnet runs tag my_run paper keep
  bitnet runs prune my_run --dry-run`,
		Args: exactly(0, "flags only, or one of its commands"),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := oneOf("--sort", order, runOrders); err != nil {
				return err
			}
			list, err := listRuns(f.runsDir, tag, order)
			if err != nil {
				return err
			}
			out := c.OutOrStdout()
			switch {
			case asJSON:
				return json.NewEncoder(out).Encode(runsJSON(list))
			case len(list) == 0 && tag != "":
				_, err = fmt.Fprintf(out, "no run in %s has the tag %s\n", f.runsDir, printable.String(tag))
			case len(list) == 0:
				_, err = fmt.Fprintf(out, "there is no run in %s yet: start one with bitnet train --exp simple\n", f.runsDir)
			default:
				_, err = io.WriteString(out, runsText(list))
			}
			return err
		},
	}
	c.Flags().StringVar(&tag, "tag", "", "only the runs that have this tag")
	c.Flags().StringVar(&order, "sort", "date", strings.Join(runOrders, ", "))
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.PersistentFlags().StringVar(&f.runsDir, "runs-dir", "runs", "where runs are kept")
	c.AddCommand(runsRenameCommand(&f), runsNoteCommand(&f), runsTagCommand(&f), runsPruneCommand(&f), runsRemoveCommand(&f))
	return c
}

// listedRun is a line of the list.
type listedRun struct {
	runs.Info
	runs.Labels
	size, checkpoints int64
}

// runOrders are what --sort takes.
var runOrders = []string{"date", "name", "size", "loss"}

// listRuns reads the runs that have a tag ("" for all) in an order of runOrders.
func listRuns(root, tag, order string) ([]listedRun, error) {
	all, err := runs.List(root)
	if err != nil {
		return nil, err
	}
	var list []listedRun
	for _, i := range all {
		r := runs.Run{Name: i.Name, Dir: i.Dir}
		l := listedRun{Info: i}
		if l.Labels, err = r.Labels(); err != nil {
			l.Note = err.Error()
		}
		if tag != "" && !slices.Contains(l.Tags, tag) {
			continue
		}
		l.size, l.checkpoints = r.Size()
		list = append(list, l)
	}
	slices.SortStableFunc(list, func(a, b listedRun) int {
		switch order {
		case "name":
			return strings.Compare(a.Name, b.Name)
		case "size":
			return cmp.Compare(b.size, a.size)
		case "loss": // runs without one last
			if a.Logged != b.Logged {
				return cmp.Compare(btoi(b.Logged), btoi(a.Logged))
			}
			return cmp.Compare(a.Last.Get(runs.LossMean), b.Last.Get(runs.LossMean))
		}
		return b.Changed.Compare(a.Changed)
	})
	return list, nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// day is when a run was started, or else changed.
func (l *listedRun) day() time.Time {
	if l.Started.IsZero() {
		return l.Changed
	}
	return l.Started
}

// runsText is a table of runs, and what they take together.
func runsText(list []listedRun) string {
	rows := [][]string{{"RUN", "EXPERIMENT", "STATE", "STEP", "LOSS", "SIZE", "STARTED", "TAGS", "NOTE"}}
	var total int64
	for i := range list {
		l := &list[i]
		loss := "-"
		if l.Logged {
			loss = runs.LossMean.Metric().Format.Text(l.Last.Get(runs.LossMean))
		}
		note, more, cut := strings.Cut(l.Note, "\n")
		if cut && strings.TrimSpace(more) != "" {
			note += " ..."
		}
		total += l.size
		rows = append(rows, []string{printable.String(l.Name), printable.String(l.Config.Name), string(l.State), thousands(l.Step), loss,
			sizeText(l.size), l.day().Local().Format("2006-01-02 15:04"), strings.Join(l.Tags, ","), printable.String(note)})
	}
	return table(rows, 3, 4, 5) + fmt.Sprintf("%d runs, %s\n", len(list), sizeText(total))
}

// sizeText is a number of bytes in words.
func sizeText(n int64) string { return runs.Bytes.Text(float64(n)) }

func runsJSON(list []listedRun) []map[string]any {
	out := make([]map[string]any, len(list))
	for i := range list {
		l := &list[i]
		m := infoJSON(&l.Info)
		m["size_bytes"], m["checkpoint_bytes"] = l.size, l.checkpoints
		m["note"], m["tags"] = l.Note, l.Tags
		if l.Tags == nil {
			m["tags"] = []string{}
		}
		out[i] = m
	}
	return out
}

func runsRenameCommand(f *runsFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "rename RUN NAME",
		Short: "Give a run a new name",
		Example: `  bitnet runs rename bitnet_text_20260101_120000 stories
  bitnet runs rename stories stories-v1`,
		Args: exactly(2, "a run and its new name"),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := runs.Find(f.runsDir, args[0])
			if err != nil {
				return err
			}
			to, err := r.Rename(args[1])
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s is now %s\n", printable.String(r.Name), printable.String(to.Dir))
			return nil
		},
	}
}

// labels finds a run and what is written on it.
func (f *runsFlags) labels(name string) (*runs.Run, runs.Labels, error) {
	r, err := runs.Find(f.runsDir, name)
	if err != nil {
		return nil, runs.Labels{}, err
	}
	l, err := r.Labels()
	return r, l, err
}

func runsNoteCommand(f *runsFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "note RUN [TEXT]",
		Short: "Show or set the note of a run",
		Long:  `Show the note of a run, or set it; "" removes it.`,
		Example: `  bitnet runs note my_run
  bitnet runs note my_run "the one for the demo"
  bitnet runs note my_run ""`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 && len(args) != 2 {
				return usageError{fmt.Errorf("want a run and its note as one argument, in quotes, got %s; see %s --help", arguments(args), c.CommandPath())}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			r, l, err := f.labels(args[0])
			if err != nil {
				return err
			}
			if len(args) == 2 {
				l.Note = strings.TrimSpace(args[1])
				return r.SetLabels(l)
			}
			if l.Note != "" {
				fmt.Fprintln(c.OutOrStdout(), printable.Text(l.Note))
			}
			return nil
		},
	}
}

func runsTagCommand(f *runsFlags) *cobra.Command {
	var remove bool
	c := &cobra.Command{
		Use:   "tag RUN [TAG...]",
		Short: "Show, add or remove tags of a run",
		Long:  `Show the tags of a run, add some, or with --remove take some away.`,
		Example: `  bitnet runs tag my_run paper keep
  bitnet runs tag my_run
  bitnet runs tag my_run keep --remove`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 || remove && len(args) == 1 {
				return usageError{fmt.Errorf("want a run and tags, got %s; see %s --help", arguments(args), c.CommandPath())}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			r, l, err := f.labels(args[0])
			if err != nil {
				return err
			}
			if len(args) > 1 {
				before := l.Tags
				l.Tags = slices.DeleteFunc(slices.Clone(before), func(t string) bool { return slices.Contains(args[1:], t) })
				if !remove {
					l.Tags = append(l.Tags, args[1:]...)
				} else if len(l.Tags) == len(before) {
					return fmt.Errorf("run %s has no tag %s; it has: %s", printable.String(r.Name), strings.Join(args[1:], ", "), strings.Join(before, ", "))
				}
				if err := r.SetLabels(l); err != nil {
					return err
				}
				if l, err = r.Labels(); err != nil {
					return err
				}
			}
			if len(l.Tags) > 0 {
				fmt.Fprintln(c.OutOrStdout(), strings.Join(l.Tags, " "))
			}
			return nil
		},
	}
	c.Flags().BoolVar(&remove, "remove", false, "take the tags away")
	return c
}
