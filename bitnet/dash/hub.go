package dash

import (
	"log"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"bitnet/bitnet/runs"
	"bitnet/data/printable"
)

const (
	tick   = 500 * time.Millisecond // between two looks at the logs
	idle   = 5 * time.Minute        // after which the curves that nobody looks at are forgotten
	rows   = 2048                   // points of a curve over a whole run
	newest = 500                    // samples that a page gets of the past
)

// hub reads the runs for all pages that are open.
type hub struct {
	root string

	mu      sync.Mutex
	list    []summary
	listed  time.Time
	took    time.Duration // to make the list
	failed  string        // why the list could not be made, once said
	dirs    map[string]*runs.Run
	readers map[string]*reader

	zooms chan struct{} // how many zoomed curves are read at a time
}

func newHub(root string) *hub {
	return &hub{root: root, dirs: map[string]*runs.Run{}, readers: map[string]*reader{}, zooms: make(chan struct{}, 2)}
}

// summary is what the page's list shows of a run. Times are in Unix
// milliseconds, 0 for unknown.
type summary struct {
	Name       string            `json:"name"` // printable, and what the page calls the run by
	Dir        string            `json:"dir"`
	State      runs.Condition    `json:"state"`
	Why        string            `json:"why"`
	Step       int64             `json:"step"`
	Steps      int64             `json:"steps"`
	Values     map[string]number `json:"values"`        // metrics of the last line, or medians of the last lines
	ETA        *number           `json:"eta,omitempty"` // seconds, of a run that is being trained
	Parameters int64             `json:"parameters"`
	Device     string            `json:"device"`
	Driver     string            `json:"driver"`
	Backend    string            `json:"backend"`
	Command    string            `json:"command"`
	Checkpoint int64             `json:"checkpoint"` // its step, -1 for none
	Started    int64             `json:"started"`
	Changed    int64             `json:"changed"`
	Swarm      *runs.Swarm       `json:"swarm,omitempty"`

	config map[string]string
}

func summarize(i runs.Info) summary {
	s := summary{
		Name: printable.String(i.Name), Dir: printable.String(i.Dir), State: i.State, Why: i.Why,
		Step: i.Step, Steps: i.Config.Train.Steps, Values: map[string]number{},
		Parameters: i.Parameters, Device: i.Device, Driver: i.Driver, Backend: i.Backend,
		Command: strings.Join(i.Command, " "), Checkpoint: i.CheckpointStep,
		Started: millis(i.Started), Changed: millis(i.Changed), Swarm: i.Swarm, config: i.Config.Settings,
	}
	for _, k := range runs.Keys() {
		if i.Medians.Has(k) {
			s.Values[k.String()] = number(i.Medians.Get(k))
		} else if i.Last.Has(k) {
			s.Values[k.String()] = number(i.Last.Get(k))
		}
	}
	if i.State == runs.Running && i.Left > 0 {
		eta := number(math.Round(i.Left.Seconds()))
		s.ETA = &eta
	}
	return s
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// summaries lists the runs, which are read again no more often than the disk can bear.
func (h *hub) summaries() []summary {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.listed) < max(tick, 10*h.took) {
		return h.list
	}
	began := time.Now()
	infos, err := runs.List(h.root)
	if err != nil {
		if err.Error() != h.failed {
			log.Print("bitnet dash: ", err)
			h.failed = err.Error()
		}
		infos = nil
	}
	h.list = make([]summary, len(infos))
	clear(h.dirs)
	for k, i := range infos {
		h.list[k] = summarize(i)
		h.dirs[h.list[k].Name] = &runs.Run{Name: i.Name, Dir: i.Dir}
	}
	h.listed, h.took = time.Now(), time.Since(began)
	for name, r := range h.readers {
		if h.dirs[name] == nil || time.Since(time.Unix(0, r.used.Load())) > idle {
			delete(h.readers, name)
		}
	}
	return h.list
}

// run finds a run by the name in the list, which is the only way in: no part
// of a request becomes a path.
func (h *hub) run(name string) *runs.Run {
	h.summaries()
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.dirs[name]
}

// reader finds or starts the reader of a run in the list; nil if there is none.
func (h *hub) reader(name string) *reader {
	run := h.run(name)
	if run == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.readers[name]
	if r == nil {
		r = &reader{logs: run.Follow(rows)}
		r.used.Store(time.Now().UnixNano())
		h.readers[name] = r
	}
	return r
}

// reader is a run whose logs are followed for all pages that show it.
type reader struct {
	used atomic.Int64 // when it was last looked at, in Unix nanoseconds

	mu     sync.Mutex // held while logs are read
	logs   *runs.Reader
	polled time.Time
	failed string

	epoch                     int   // changes when what was sent before is void
	evals, samples, anomalies int64 // that ever came in this epoch
}

// look calls f with the logs as they are now. f must not keep them.
func (r *reader) look(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used.Store(time.Now().UnixNano())
	if time.Since(r.polled) > tick/2 {
		r.poll()
		r.polled = time.Now()
	}
	f()
}

func (r *reader) poll() {
	bad := r.logs.BadLines
	c, err := r.logs.Poll()
	if err != nil && err.Error() != r.failed {
		log.Print("bitnet dash: ", err)
		r.failed = err.Error()
	}
	if c.Reset || bad != r.logs.BadLines {
		// With unreadable lines among the new ones it is not known which list
		// grew by how much.
		r.epoch++
		r.evals, r.samples = int64(len(r.logs.Evals)), int64(len(r.logs.Samples))
		r.anomalies = int64(len(r.logs.Anomalies))
		return
	}
	r.evals += int64(c.Evals)
	r.samples += int64(c.Samples)
	r.anomalies += int64(c.Anomalies)
}
