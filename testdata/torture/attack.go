package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// attack is a command under attack.
type attack struct {
	name   string
	weight float64 // its share of the time
	most   int     // disturbances in a round

	// args start the command in a folder, for the first time or again.
	args func(dir string) ([]string, error)
	// inputs puts into a new folder what the command reads.
	inputs func(a *attack, dir string) error
	// whole checks what may be seen after a disturbance, finished or not.
	whole func(a *attack, dir string) *failure
	// equal compares what a command that has finished left with the reference; stopped
	// says that a SIGTERM was among what disturbed it.
	equal func(a *attack, dir string, stopped bool) *failure
	// sweep starts the command once more, after it finished, as a user would with
	// the next thing to do in the same place.
	sweep func(dir string) []string
	// moving is a number that changes when the command begins to write.
	moving func(dir string) int64
	// alone says that of two at once only one may succeed: the other has no result
	// of its own.
	alone bool
	// unstopped says that SIGTERM changes what it leaves.
	unstopped bool
	// instead replaces the rounds of a command that does not end by itself.
	instead func(a *attack, dir string, rng *rand.Rand, end time.Time) (counts, []*failure)

	program   *program
	kinds     []kind
	folder    string
	reference string
	space     int // what the command writes, in KiB
	mu        sync.Mutex
	took      time.Duration // of the last undisturbed start

	rounds, working int
	spent           time.Duration
	count           counts
	failures        []*failure
}

// kind is a way to disturb a command.
type kind int

const (
	kill      kind = iota // SIGKILL
	terminate             // SIGTERM
	twice                 // a second start while the first runs
	frozen                // SIGSTOP, a second start, SIGCONT
	calls                 // failing system calls
	smallDisk             // a file system that fills up
	readOnly              // a file system that becomes read-only
	kindCount
)

func (k kind) String() string {
	return [...]string{"kills", "SIGTERMs", "two at once", "frozen", "call faults", "small disks", "read-only"}[k]
}

// counts are the disturbances that struck a command before it had ended.
type counts struct {
	starts int
	did    [kindCount]int
}

func (c *counts) add(d counts) {
	c.starts += d.starts
	for k := range c.did {
		c.did[k] += d.did[k]
	}
}

// what went wrong.
type what int

const (
	wrongLines  what = iota // lines lost, doubled or changed
	tornFile                // a checkpoint, a shard or another file that is not whole
	leftBehind              // files that the next start did not remove
	wrongResult             // a result other than the reference
	badMessage              // a crash, a hang, or an error that is not one clear line
	failureCount
)

func (w what) String() string {
	return [...]string{"lines", "torn", "left", "wrong", "messages"}[w]
}

// failure is a promise that was not kept.
type failure struct {
	what  what
	text  string
	dir   string
	story []string // the disturbances of the round
}

func (f *failure) String() string {
	return fmt.Sprintf("%s: %s\n  in %s, after: %s", f.what, f.text, f.dir, strings.Join(f.story, "; "))
}

func failed(w what, format string, args ...any) *failure {
	return &failure{what: w, text: fmt.Sprintf(format, args...)}
}

// setUp makes the reference.
func (a *attack) setUp(folder string) error {
	a.folder, a.reference = folder, filepath.Join(folder, "reference")
	if err := a.fresh(a.reference); err != nil {
		return err
	}
	if a.instead != nil {
		return nil
	}
	for range 2 { // the second fills no caches, so that its time counts
		if err := os.RemoveAll(a.reference); err != nil {
			return err
		}
		if err := a.fresh(a.reference); err != nil {
			return err
		}
		before := space(a.reference)
		args, err := a.args(a.reference)
		if err != nil {
			return err
		}
		r, err := a.program.run(args...)
		if err == nil && r.code != 0 {
			err = fmt.Errorf("exit code %d: %s", r.code, r.said)
		}
		if err != nil {
			return err
		}
		a.took, a.space = r.took, space(a.reference)-before
	}
	// A comparison that cannot succeed would find faults that are none.
	if f := a.equal(a, a.reference, false); f != nil {
		return fmt.Errorf("the reference is not equal to itself: %s", f.text)
	}
	return nil
}

func (a *attack) fresh(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return a.inputs(a, dir)
}

// usual is how long the command takes undisturbed.
func (a *attack) usual() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.took
}

// round disturbs the command in a new folder until it has finished, and compares.
func (a *attack) round(dir string, rng *rand.Rand, end time.Time) (c counts, failures []*failure) {
	var story []string
	note := func(f *failure) {
		f.dir, f.story = dir, story
		failures = append(failures, f)
	}
	if err := a.fresh(dir); err != nil {
		note(failed(wrongResult, "setting up: %v", err))
		return c, failures
	}
	if a.instead != nil {
		c, failures = a.instead(a, dir, rng, end)
		for _, f := range failures {
			f.dir = dir
		}
	} else {
		a.disturbed(dir, rng, end, &c, &story, note)
	}
	if len(failures) == 0 {
		if err := os.RemoveAll(dir); err != nil {
			note(failed(wrongResult, "cleaning up: %v", err))
		}
	}
	return c, failures
}

func (a *attack) disturbed(dir string, rng *rand.Rand, end time.Time, c *counts, story *[]string, note func(*failure)) {
	complain := func(r result) {
		if s := r.complaint(); s != "" {
			note(failed(badMessage, "%s", s))
		}
	}
	finished, stopped := false, false
	for range a.most {
		if finished || time.Now().After(end) {
			break
		}
		args, err := a.args(dir)
		if err != nil {
			note(failed(tornFile, "%v", err))
			return
		}
		k := a.kinds[rng.IntN(len(a.kinds))]
		d := disturbance{attack: a, dir: dir, args: args, rng: rng}
		done := d.make(k)
		c.starts += len(d.results)
		if d.struck {
			c.did[k]++
		}
		stopped = stopped || k == terminate
		*story = append(*story, d.story)
		for _, r := range d.results {
			complain(r)
			finished = finished || r.code == 0 && r.signal == 0
		}
		if done != nil {
			note(done)
			return
		}
		if f := a.whole(a, dir); f != nil {
			note(f)
			return
		}
		// A kill just after the end of the work leaves nothing to do.
		finished = finished || a.equal(a, dir, stopped) == nil
	}
	if !finished {
		args, err := a.args(dir)
		if err != nil {
			note(failed(tornFile, "%v", err))
			return
		}
		*story = append(*story, "a last start")
		r, err := a.program.run(args...)
		if err != nil {
			note(failed(wrongResult, "starting: %v", err))
			return
		}
		c.starts++
		complain(r)
		if r.code != 0 {
			note(failed(wrongResult, "the last start, undisturbed, failed: %s", r.said))
			return
		}
		a.mu.Lock()
		if len(*story) == 1 {
			a.took = r.took
		}
		a.mu.Unlock()
	}
	if f := a.equal(a, dir, stopped); f != nil {
		note(f)
		return
	}
	// What the last process left is removed by the next start, which need not do
	// anything else.
	if len(left(dir)) > 0 {
		*story = append(*story, "one more start")
		if _, err := a.program.run(a.sweep(dir)...); err != nil {
			note(failed(wrongResult, "starting: %v", err))
		}
		c.starts++
		if l := left(dir); len(l) > 0 {
			note(failed(leftBehind, "%s", strings.Join(l, ", ")))
		}
	}
}
