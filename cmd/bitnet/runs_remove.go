package main

import (
	"bufio"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"bitnet/bitnet/runs"
	"bitnet/data/printable"
)

// errNotRemoved is the answer no.
var errNotRemoved = errors.New("nothing was removed")

// confirm asks a question that removes something, unless yes answers it
// already. Where nobody can be asked, it is an error.
func confirm(c *cobra.Command, yes bool, question string) error {
	if yes {
		return nil
	}
	if !isTerminal(c.InOrStdin()) {
		return usageError{fmt.Errorf("%s Nobody can be asked here: say --yes", question)}
	}
	fmt.Fprintf(c.ErrOrStderr(), "%s [y/N] ", question)
	answer, _ := bufio.NewReader(c.InOrStdin()).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errNotRemoved
}

// atLeastOne is exactly for commands that take several runs.
func atLeastOne(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usageError{fmt.Errorf("name one run or more; see %s --help", c.CommandPath())}
	}
	return nil
}

func runsRemoveCommand(f *runsFlags) *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "remove RUN...",
		Short: "Remove runs, with all their checkpoints",
		Long: `Remove runs, with their checkpoints and logs. It asks before it does, unless
--yes is given. A run that is being trained is refused.`,
		Example: `  bitnet runs remove my_run
  bitnet runs remove failed_1 failed_2 --yes`,
		Args: atLeastOne,
		RunE: func(c *cobra.Command, args []string) error {
			list, err := distinctRuns(f.runsDir, args)
			if err != nil {
				return err
			}
			var total int64
			var names []string
			for _, r := range list {
				if err := r.Idle(); err != nil {
					return err
				}
				size, _ := r.Size()
				total += size
				names = append(names, fmt.Sprintf("%s (%s)", printable.String(r.Dir), sizeText(size)))
			}
			if err := confirm(c, yes, fmt.Sprintf("Remove %s?", strings.Join(names, ", "))); err != nil {
				return err
			}
			for _, r := range list {
				if err := r.Remove(); err != nil {
					return err
				}
				fmt.Fprintf(c.OutOrStdout(), "removed %s\n", printable.String(r.Dir))
			}
			if len(list) > 1 {
				fmt.Fprintf(c.OutOrStdout(), "%s are free\n", sizeText(total))
			}
			return nil
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return c
}

// distinctRuns finds runs by their names, each once.
func distinctRuns(runsDir string, args []string) ([]*runs.Run, error) {
	list, err := findRuns(runsDir, args)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(list, func(r *runs.Run) bool {
		full, err := filepath.Abs(r.Dir)
		twice := err == nil && seen[full]
		seen[full] = true
		return twice
	}), nil
}

func runsPruneCommand(f *runsFlags) *cobra.Command {
	var yes, dry, all bool
	var keep int
	c := &cobra.Command{
		Use:   "prune [RUN...]",
		Short: "Remove checkpoints that are neither a run's last nor its best",
		Long: `Remove the checkpoints of runs but the last and the one of the lowest validation
loss, with those that are damaged or were set aside. Every checkpoint that stays
is checked first. It asks before it removes anything, unless --yes is given;
--dry-run says what would be removed, and what that frees. A run that is being
trained is refused.`,
		Example: `  bitnet runs prune my_run --dry-run
  bitnet runs prune my_run --keep 3
  bitnet runs prune --all --yes`,
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case all == (len(args) > 0):
				return usageError{fmt.Errorf("name runs, or say --all for all of them; see %s --help", c.CommandPath())}
			case keep < 1:
				return usageError{fmt.Errorf("--keep %d: the last checkpoint always stays: give 1 or more", keep)}
			}
			list, err := prunable(f.runsDir, args, all)
			if err != nil {
				return err
			}
			var with []*runs.Run
			var total int64
			for _, r := range list {
				s, err := r.Spare(keep)
				if err != nil {
					return err
				}
				printSpare(c, r, s)
				if err := r.Idle(); err != nil && !dry {
					return err
				}
				if len(s.Remove) > 0 {
					with, total = append(with, r), total+s.Bytes
				}
			}
			out := c.OutOrStdout()
			if len(with) == 0 || dry {
				fmt.Fprintf(out, "%s can be freed\n", sizeText(total))
				return nil
			}
			if err := confirm(c, yes, fmt.Sprintf("Remove these checkpoints and free %s?", sizeText(total))); err != nil {
				return err
			}
			var freed int64
			for _, r := range with {
				s, err := r.RemoveSpare(keep)
				if err != nil {
					return err
				}
				freed += s.Bytes
			}
			fmt.Fprintf(out, "freed %s\n", sizeText(freed))
			return nil
		},
	}
	c.Flags().BoolVar(&all, "all", false, "all runs")
	c.Flags().BoolVar(&dry, "dry-run", false, "say what would be removed, and stop")
	c.Flags().IntVar(&keep, "keep", 1, "keep the last N checkpoints")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return c
}

// prunable are the runs that were named, or all of them but those that are
// being trained.
func prunable(runsDir string, args []string, all bool) ([]*runs.Run, error) {
	if !all {
		return distinctRuns(runsDir, args)
	}
	infos, err := runs.List(runsDir)
	var list []*runs.Run
	for _, i := range infos {
		if i.State != runs.Running {
			list = append(list, &runs.Run{Name: i.Name, Dir: i.Dir})
		}
	}
	return list, err
}

// printSpare says what of a run stays and what can go.
func printSpare(c *cobra.Command, r *runs.Run, s runs.Spare) {
	base := func(dirs []string) string {
		var names []string
		for _, d := range dirs {
			name := printable.String(filepath.Base(d))
			if slices.Contains(s.Damaged, d) {
				name += " (damaged)"
			}
			names = append(names, name)
		}
		if len(names) == 0 {
			return "nothing"
		}
		return strings.Join(names, ", ")
	}
	fmt.Fprintf(c.OutOrStdout(), "%s: keep %s; remove %s (%s)\n", printable.String(r.Name), base(s.Keep), base(s.Remove), sizeText(s.Bytes))
}
