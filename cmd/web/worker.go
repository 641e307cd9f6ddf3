package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"

	"bitnet/gpu"
)

// attachment is a field of a message that JSON cannot hold.
type attachment struct {
	field string
	blob  bool // a Blob, else a Uint8Array
	data  [][]byte
}

// host is what the worker needs of the browser.
type host struct {
	// post sends a message to the page.
	post func(message []byte, more ...attachment)
	// storage says how much is stored.
	storage func() (Storage, error)
	// shipped puts the model that comes with the page into a new folder.
	shipped func(folder string) error
	// lose makes the browser lose all devices.
	lose func()
}

// worker carries out the requests of a page.
type worker struct {
	host
	root string // of the file system

	mu      sync.Mutex
	running map[int]context.CancelFunc // by the id of a request
	busy    map[string]bool            // kinds of requests that are under way, of which there can be one each

	use use
}

func newWorker(root string, h host) *worker {
	return &worker{host: h, root: root, running: map[int]context.CancelFunc{}, busy: map[string]bool{}}
}

// The folders of the file system.
func (w *worker) runs() string    { return filepath.Join(w.root, "runs") }
func (w *worker) models() string  { return filepath.Join(w.root, "models") }
func (w *worker) texts() string   { return filepath.Join(w.root, "texts") }
func (w *worker) scratch() string { return filepath.Join(w.root, "tmp") }

// call is a request that is being carried out.
type call struct {
	*worker
	request
	raw []byte
}

// verb is what a request asks for. Its answer is an object, or nil for none.
type verb struct {
	do   func(ctx context.Context, c *call) (any, error)
	kind string   // of those of which one can be under way; "" for any number
	not  []string // kinds that it cannot run beside
}

// verbs is the table of doc.go.
var verbs map[string]verb

func init() {
	measuring := []string{"measurement"}
	verbs = map[string]verb{
		"adapter":  {do: describeAdapter},
		"storage":  {do: describeStorage},
		"schema":   {do: describeSchema},
		"runs":     {do: listRuns},
		"run":      {do: showRun},
		"remove":   {do: removeRun},
		"train":    {do: trainModel, kind: "training", not: measuring},
		"upload":   {do: takeUpload},
		"download": {do: giveDownload},
		"open":     {do: openModel, kind: "answer", not: measuring},
		"talk":     {do: talk, kind: "answer", not: measuring},
		"think":    {do: think, kind: "answer", not: measuring},
		"measure":  {do: measure, kind: "measurement", not: []string{"training", "answer"}},
		"stop":     {do: stop},
		"lose":     {do: lose},
	}
}

// receive carries out a request in the background and answers it.
func (w *worker) receive(ctx context.Context, text []byte) {
	c := &call{worker: w, raw: text}
	if err := json.Unmarshal(text, &c.request); err != nil {
		w.answer(c.ID, nil, errors.New("the request is not what the worker understands: reload the page"))
		return
	}
	v, ok := verbs[c.Do]
	if !ok {
		w.answer(c.ID, nil, fmt.Errorf("there is no request %q: reload the page", c.Do))
		return
	}
	if err := w.begin(v); err != nil {
		w.answer(c.ID, nil, err)
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	w.mu.Lock()
	w.running[c.ID] = cancel
	w.mu.Unlock()
	go func() {
		result, err := carryOut(breathing(ctx), v, c)
		cancel()
		w.mu.Lock()
		delete(w.running, c.ID)
		delete(w.busy, v.kind)
		w.mu.Unlock()
		w.answer(c.ID, result, err)
	}()
}

// carryOut does what a request asks for. A fault of the program ends the request
// and not the worker, whose other requests go on.
func carryOut(ctx context.Context, v verb, c *call) (result any, err error) {
	defer func() {
		if r := recover(); r != nil {
			fmt.Fprintf(os.Stderr, "%v\n%s", r, debug.Stack())
			err = fmt.Errorf("a fault of the program (%v): please report it", r)
		}
	}()
	return v.do(ctx, c)
}

// begin takes the place of a kind of request.
func (w *worker) begin(v verb) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy[v.kind] {
		return fmt.Errorf("another %s is under way: stop it, or wait until it ends", v.kind)
	}
	for _, kind := range v.not {
		if w.busy[kind] {
			return fmt.Errorf("another request (%s) is under way, and the two would disturb each other: stop it first", kind)
		}
	}
	if v.kind != "" {
		w.busy[v.kind] = true
	}
	return nil
}

func stop(_ context.Context, c *call) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cancel := c.running[c.Of]; cancel != nil {
		cancel()
	}
	return nil, nil
}

func lose(_ context.Context, c *call) (any, error) {
	c.host.lose()
	return nil, nil
}

func describeStorage(_ context.Context, c *call) (any, error) { return c.storage() }

// answer ends a request.
func (w *worker) answer(id int, result any, err error) {
	if err != nil {
		w.send(map[string]any{"id": id, "error": inBrowser(err)})
		return
	}
	d, _ := result.(delivery)
	if d.fields != nil {
		result = d.fields
	}
	fields := map[string]any{}
	if result != nil {
		text, err := json.Marshal(result)
		if err == nil {
			err = json.Unmarshal(text, &fields)
		}
		if err != nil {
			w.send(map[string]any{"id": id, "error": "the answer cannot be written: " + err.Error()})
			return
		}
	}
	fields["id"], fields["ok"] = id, true
	w.send(fields, d.more...)
}

// delivery is an answer with what JSON cannot hold.
type delivery struct {
	fields any
	more   []attachment
}

// event tells the page about the request.
func (c *call) event(name string, fields any, more ...attachment) {
	m := map[string]any{}
	text, err := json.Marshal(fields)
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		name, m = "note", map[string]any{"text": "news that cannot be written: " + err.Error()}
	}
	m["event"], m["id"] = name, c.ID
	c.send(m, more...)
}

func (c *call) note(text string) { c.event("note", map[string]any{"text": text}) }

func (w *worker) send(fields map[string]any, more ...attachment) {
	text, err := json.Marshal(fields)
	if err != nil {
		panic(err) // it was read from JSON
	}
	w.post(text, more...)
}

// decode reads the request as what its verb takes.
func (c *call) decode(v any) error {
	if err := json.Unmarshal(c.raw, v); err != nil {
		return fmt.Errorf("the request %s has a field of the wrong kind: reload the page", c.Do)
	}
	return nil
}

// inBrowser says what went wrong in one line, with advice for a page where that
// of the program in a terminal does not fit.
func inBrowser(err error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return "it was stopped"
	case isFull(err):
		return "the browser gives this site no more space: remove a run or a model, or free space on the disk"
	case errors.Is(err, gpu.ErrDeviceLost):
		return "the browser lost the GPU: try again; if it happens again, reload the page"
	case errors.Is(err, gpu.ErrOutOfMemory):
		return "the GPU has no more memory: use a smaller model or batch, or close other pages"
	}
	return oneLine(err.Error())
}
