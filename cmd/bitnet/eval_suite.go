package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"bitnet/bitnet/eval/suite"
	"bitnet/bitnet/infer"
)

// suiteFlags say which test sets a model is measured on.
type suiteFlags struct {
	tasks   string
	data    string
	limit   int
	samples string
}

func (f *suiteFlags) add(c *cobra.Command) {
	var names []string
	for _, t := range suite.Tasks() {
		names = append(names, fmt.Sprintf("%s (%s)", t.Name, t.About))
	}
	fl := c.Flags()
	fl.StringVar(&f.tasks, "suite", "", "measure on public test sets, with commas between: "+suite.Core+" (all), "+strings.Join(names, ", "))
	fl.StringVar(&f.data, "suite-data", "", "folder with the data of --suite: TASK.parquet, TASK.jsonl, or a copy of the data set in a folder TASK (default: from the hub)")
	fl.IntVar(&f.limit, "limit", 0, "at most N questions of each task of --suite (default: all)")
	fl.StringVar(&f.samples, "samples", "", "write each question of --suite with the model's answers to a file, as JSON lines")
}

// check refuses flags that do not fit each other. other says which flags are set
// that belong to an evaluation without a suite.
func (f *suiteFlags) check(c *cobra.Command) error {
	changed := func(names ...string) string {
		for _, n := range names {
			if c.Flags().Changed(n) {
				return "--" + n
			}
		}
		return ""
	}
	if f.tasks == "" {
		if c.Flags().Changed("suite") {
			return usageError{errors.New("--suite needs a name: " + suite.Core + ", or tasks with commas between")}
		}
		if flag := changed("suite-data", "limit", "samples"); flag != "" {
			return usageError{fmt.Errorf("%s goes with --suite: name test sets too", flag)}
		}
		return nil
	}
	if flag := changed("data", "logprobs", "rows"); flag != "" {
		return usageError{fmt.Errorf("%s does not go with --suite, which has --suite-data, --samples and --limit", flag)}
	}
	if f.limit < 0 {
		return usageError{fmt.Errorf("--limit %d: want 1 or more questions, or 0 for all", f.limit)}
	}
	return nil
}

// run measures a model on the test sets, and prints what it reached.
func (f *suiteFlags) run(c *cobra.Command, m *modelFlags, path string, asJSON bool) (err error) {
	tasks, err := suite.Find(f.tasks)
	if err != nil {
		return usageError{err}
	}
	dev, model, err := m.openModel(c, path)
	if err != nil {
		return err
	}
	defer dev.Close()
	defer model.Release()
	o := suite.Options{Dir: f.data, Limit: f.limit, Note: noteTo(c)}
	if f.samples != "" {
		file, e := os.Create(f.samples)
		if e != nil {
			return fmt.Errorf("--samples: %w", e)
		}
		w := bufio.NewWriter(file)
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		o.Each = func(s suite.Sample) error { return enc.Encode(s) }
		defer func() { err = errors.Join(err, w.Flush(), file.Close()) }()
	}
	results, err := runShown(c, model, tasks, o)
	if err != nil {
		return err
	}
	results.Model, results.Program = path, version()
	if asJSON {
		e := json.NewEncoder(c.OutOrStdout())
		e.SetIndent("", "  ")
		return e.Encode(results)
	}
	if err := results.Table(c.OutOrStdout()); err != nil {
		return err
	}
	if f.limit > 0 {
		fmt.Fprintf(c.ErrOrStderr(), "at most %d questions of each task: the whole test sets give other values\n", f.limit)
	}
	return nil
}

// runShown runs tasks, and shows how far it is.
func runShown(c *cobra.Command, model *infer.Model, tasks []suite.Task, o suite.Options) (results *suite.Results, err error) {
	var mu sync.Mutex
	var last suite.Progress
	o.Progress = func(p suite.Progress) {
		mu.Lock()
		defer mu.Unlock()
		last = p
	}
	err = watched(c.ErrOrStderr(), func() string {
		mu.Lock()
		defer mu.Unlock()
		return suiteLine(last)
	}, func() (err error) {
		results, err = suite.Run(c.Context(), model, tasks, o)
		return err
	})
	return results, err
}

// suiteLine words the state of a run; "" before anything is known.
func suiteLine(p suite.Progress) string {
	if p.Task == "" || p.Work.Total == 0 {
		return ""
	}
	s := fmt.Sprintf("%s: %d%%, %.0f tokens/s", p.Task, 100*p.Work.Done/p.Work.Total, p.Work.Rate)
	if p.Fetch {
		s = fmt.Sprintf("%s: download %d of %d MiB, %.1f MiB/s", p.Task, p.Work.Done>>20, p.Work.Total>>20, p.Work.Rate/(1<<20))
	}
	if p.Work.ETA >= 0 {
		s += fmt.Sprintf(", %s left", p.Work.ETA.Round(time.Second))
	}
	return s
}
