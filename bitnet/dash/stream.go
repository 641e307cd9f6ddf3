package dash

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"time"

	"bitnet/bitnet/runs"
	"bitnet/data/printable"
)

const (
	mostRuns  = 32               // that one page may follow
	heartbeat = 15 * time.Second // of silence, after which a comment is sent
	patience  = 20 * time.Second // for a page that does not read
)

// events is the stream of a page: what is known of the runs, then what changes.
// With ?run=NAME, as often as needed, it also has the curves and logs of these.
func (h *hub) events(w http.ResponseWriter, r *http.Request) {
	names, err := followedRuns(r.URL.RawQuery)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	if r.Method == http.MethodHead {
		return
	}
	s := &stream{hub: h, w: w, control: http.NewResponseController(w), listed: map[string][]byte{}, follow: map[string]*followed{}, names: names}
	if s.send("schema", newSchema()) != nil {
		return
	}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		if err := s.look(); err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-ticker.C:
		}
	}
}

// followedRuns are the runs that a stream is asked for. A run need not exist yet.
func followedRuns(query string) ([]string, error) {
	v, err := url.ParseQuery(query)
	if err != nil {
		return nil, errors.New("the query is not well formed")
	}
	var names []string
	for _, name := range v["run"] {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) > mostRuns {
		return nil, fmt.Errorf("one page follows at most %d runs", mostRuns)
	}
	return names, nil
}

// stream is what was sent to one page.
type stream struct {
	hub     *hub
	w       http.ResponseWriter
	control *http.ResponseController
	spoke   time.Time
	began   bool // the list was sent once

	names  []string
	listed map[string][]byte // summary of each run as it was sent
	follow map[string]*followed
}

// followed is what has been sent of a run.
type followed struct {
	by                        *reader
	epoch                     int
	width, lines, slot        int64
	evals, samples, anomalies int64
	config                    map[string]string
	reading                   int // percent of a long log, -1 if it is read
}

// look sends what is new.
func (s *stream) look() error {
	list := s.hub.summaries()
	if err := s.list(list); err != nil {
		return err
	}
	for _, name := range s.names {
		i := slices.IndexFunc(list, func(x summary) bool { return x.Name == name })
		if i < 0 {
			delete(s.follow, name)
			continue
		}
		if err := s.run(name, list[i].config); err != nil {
			return err
		}
	}
	if time.Since(s.spoke) > heartbeat {
		return s.write([]byte(": still here\n\n"))
	}
	return nil
}

// list sends the summaries that changed.
func (s *stream) list(list []summary) error {
	event := struct {
		Dir     string            `json:"dir"`
		All     bool              `json:"all"`
		Changed []json.RawMessage `json:"changed"`
		Gone    []string          `json:"gone,omitempty"`
	}{Dir: printable.String(s.hub.root), All: !s.began, Changed: []json.RawMessage{}}
	there := map[string]bool{}
	for _, x := range list {
		text, err := json.Marshal(x)
		if err != nil {
			return err
		}
		there[x.Name] = true
		if !bytes.Equal(text, s.listed[x.Name]) {
			event.Changed = append(event.Changed, text)
			s.listed[x.Name] = text
		}
	}
	for name := range s.listed {
		if !there[name] {
			event.Gone = append(event.Gone, name)
			delete(s.listed, name)
		}
	}
	if !event.All && len(event.Changed) == 0 && len(event.Gone) == 0 {
		return nil
	}
	s.began = true
	return s.send("runs", event)
}

// eval, sample and anomaly are lines of the logs as the page gets them.
type (
	eval struct {
		Step   int64   `json:"step"`
		Scores []score `json:"scores"`
	}
	score struct {
		Name   string      `json:"name"`
		Part   string      `json:"part,omitempty"`
		Value  number      `json:"value"`
		Format runs.Format `json:"format"`
		Text   string      `json:"text"` // the value in words
	}
	anomaly struct {
		Step int64  `json:"step"`
		Kind string `json:"kind"`
		Text string `json:"text"`
	}
	logs struct {
		Run       string        `json:"run"`
		Reset     bool          `json:"reset,omitempty"` // these are all, not only new ones
		Evals     []eval        `json:"evals,omitempty"`
		Samples   []runs.Sample `json:"samples,omitempty"`
		Anomalies []anomaly     `json:"anomalies,omitempty"`
	}
)

// run sends what is new of a run.
func (s *stream) run(name string, config map[string]string) error {
	r := s.hub.reader(name)
	if r == nil {
		return nil
	}
	f := s.follow[name]
	var metrics *block
	var other logs
	event, reading := "patch", -1
	r.look(func() {
		c := r.logs.Curves
		if f == nil || f.by != r || f.epoch != r.epoch {
			f = &followed{by: r, epoch: r.epoch, slot: math.MinInt64, lines: -1, evals: -1, reading: -1}
			s.follow[name] = f
		}
		if f.lines != c.Lines {
			if f.lines < 0 || f.width != c.Width() {
				event, f.slot = "series", math.MinInt64
			}
			metrics = newBlock(name, c, f.slot)
			f.width, f.lines = c.Width(), c.Lines
			if n := len(metrics.Slot); n > 0 {
				f.slot = metrics.Slot[n-1] // the last row may still grow
			}
		}
		other = newLogs(name, r, f)
		if share, ok := r.logs.Reading(); ok {
			reading = int(100 * share)
		}
	})
	if metrics != nil {
		if err := s.send(event, metrics); err != nil {
			return err
		}
	}
	if reading != f.reading {
		f.reading = reading
		if err := s.send("reading", map[string]any{"run": name, "percent": reading}); err != nil {
			return err
		}
	}
	if other.Reset || len(other.Evals)+len(other.Samples)+len(other.Anomalies) > 0 {
		if err := s.send("logs", other); err != nil {
			return err
		}
	}
	if f.config == nil || !maps.Equal(f.config, config) {
		f.config = config
		return s.send("config", map[string]any{"run": name, "config": config})
	}
	return nil
}

// newLogs takes what is new in the lists of a run.
func newLogs(name string, r *reader, f *followed) logs {
	l := logs{Run: name, Reset: f.evals < 0}
	if l.Reset {
		f.evals, f.samples, f.anomalies = 0, 0, 0
	}
	for _, e := range newestOf(r.logs.Evals, r.evals-f.evals) {
		l.Evals = append(l.Evals, newEval(&e))
	}
	l.Samples = slices.Clone(newestOf(r.logs.Samples, min(r.samples-f.samples, newest)))
	for _, a := range newestOf(r.logs.Anomalies, min(r.anomalies-f.anomalies, newest)) {
		l.Anomalies = append(l.Anomalies, anomaly{a.Step, string(a.Kind), a.Message})
	}
	f.evals, f.samples, f.anomalies = r.evals, r.samples, r.anomalies
	return l
}

// newEval takes the scores of an evaluation, with their parts where they are few.
func newEval(e *runs.Eval) eval {
	x := eval{Step: e.Step}
	add := func(s runs.Score) {
		x.Scores = append(x.Scores, score{s.Name, s.Part, number(s.Value), s.Format(), s.String()})
	}
	for _, s := range e.All() {
		if s.Part != "" {
			continue
		}
		add(s)
		for _, p := range e.Parts(s.Name) {
			add(p)
		}
	}
	return x
}

func newestOf[T any](list []T, n int64) []T {
	return list[len(list)-int(min(max(n, 0), int64(len(list)))):]
}

// send writes one event and lets it go.
func (s *stream) send(event string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.write(slices.Concat([]byte("event: "+event+"\ndata: "), text, []byte("\n\n")))
}

func (s *stream) write(text []byte) error {
	s.spoke = time.Now()
	_ = s.control.SetWriteDeadline(s.spoke.Add(patience)) // a server in a test may have none
	if _, err := s.w.Write(text); err != nil {
		return err
	}
	return s.control.Flush()
}
