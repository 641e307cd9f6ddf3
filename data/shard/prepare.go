package shard

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"bitnet/data/atomicfile"
	"bitnet/data/meter"
	"bitnet/data/printable"
	"bitnet/data/text"
	"bitnet/data/tokenizer"
)

// Input is one file of a corpus.
type Input struct {
	Named
	// Open waits until the file is there and gives its path.
	Open func(ctx context.Context) (string, error)
}

// Options say what Prepare makes.
type Options struct {
	Tokenizer *tokenizer.Tokenizer
	Inputs    []Input
	Text      text.Options
	NoBOS     bool    // do not put the tokenizer's <s> before each document
	NoEOS     bool    // do not put its </s> after each document
	HeldOut   float64 // share of the documents kept for validation; 0 means 0.005, negative none
	ShardIDs  int64   // ids in a shard; 0 means 2^25
	Workers   int     // 0 means one for each core; the result is the same for any number
	Fresh     bool    // drop what is there and start again
	Progress  func(Progress)
}

// Progress says how far Prepare has come.
type Progress struct {
	Inputs    meter.Reading // bytes of the input files
	Text      meter.Reading // bytes of text
	IDs       meter.Reading
	Documents int64
	HeldOut   int64 // validation documents among them
	Shards    int
}

const (
	defaultHeldOut  = 0.005
	defaultShardIDs = 1 << 25
	shardDocuments  = 1 << 22 // their ends are kept in memory
	lockName        = ".lock"
	chunkBytes      = 256 << 10
	chunkDocuments  = 1024
	// Bytes of text between reading and writing. A byte gives at most one id.
	inFlight = 48 << 20
)

// Prepare turns the inputs into shards under dir. It keeps what an earlier call
// with the same plan has finished, and continues after the last finished shard.
func Prepare(ctx context.Context, dir string, o Options) (*Manifest, error) {
	job, err := Begin(ctx, dir, o)
	if err != nil {
		return nil, err
	}
	return job.Run(ctx)
}

// ErrTaken says that a folder of shards is being made already.
var ErrTaken = errors.New("another process is preparing")

// Job is the making of a folder of shards. It holds the folder's lock.
type Job struct {
	dir  string
	o    Options
	m    *Manifest
	lock *lock
}

// Begin makes the plan, or takes the one of an earlier run, and writes the
// manifest. From then on Loaders may be opened on dir: they wait for what Run
// has not made yet.
func Begin(ctx context.Context, dir string, o Options) (*Job, error) {
	if o.Tokenizer == nil || len(o.Inputs) == 0 {
		return nil, errors.New("preparing token shards: a tokenizer and at least one input are needed")
	}
	if o.HeldOut == 0 {
		o.HeldOut = defaultHeldOut
	}
	if o.ShardIDs == 0 {
		o.ShardIDs = defaultShardIDs
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("preparing token shards: %w", err)
	}
	// A Loader holds the lock for a moment to find out whether it is free.
	lock := newLock(dir)
	brief, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if _, err := lock.TryLockContext(brief, 50*time.Millisecond); ctx.Err() != nil {
		return nil, ctx.Err()
	} else if errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("%w %s; wait for it, or give a different --output", ErrTaken, dir)
	} else if err != nil {
		return nil, fmt.Errorf("preparing token shards: %w", err)
	}
	m, err := begin(ctx, dir, &o)
	if err != nil {
		lock.Unlock()
		return nil, err
	}
	return &Job{dir, o, m, lock}, nil
}

// Run makes the shards that are missing and releases the lock.
func (j *Job) Run(ctx context.Context) (*Manifest, error) {
	defer j.lock.Unlock()
	if j.m.Complete {
		return j.m, nil
	}
	if err := run(ctx, j.dir, j.m, &j.o); err != nil {
		return j.m, fmt.Errorf("preparing token shards: %w (finished shards are kept: run the same command again to resume)", err)
	}
	return j.m, nil
}

// begin reads the manifest of an earlier run, or makes the plan.
func begin(ctx context.Context, dir string, o *Options) (*Manifest, error) {
	plan := Plan{
		Version: version, Tokenizer: o.Tokenizer.Hash(), Vocab: o.Tokenizer.Size(), ShardIDs: o.ShardIDs, HeldOut: o.HeldOut,
		Field: o.Text.Field, Split: o.Text.Split, MaxDocument: o.Text.MaxDocument,
	}
	if id, ok := o.Tokenizer.BOS(); ok && !o.NoBOS {
		plan.BOS = &id
	}
	if id, ok := o.Tokenizer.EOS(); ok && !o.NoEOS {
		plan.EOS = &id
	}
	for _, in := range o.Inputs {
		plan.Inputs = append(plan.Inputs, in.Named)
	}
	old, err := ReadManifest(dir)
	if err == nil {
		plan.Threshold = old.Threshold
		if !o.Fresh && reflect.DeepEqual(plan, old.Plan) {
			return old, clean(dir, old)
		}
		if !o.Fresh {
			return nil, fmt.Errorf("%s holds shards that were made with %s; give a different --output, or --fresh to replace them",
				dir, difference(&plan, &old.Plan))
		}
	} else if !errors.Is(err, fs.ErrNotExist) && !o.Fresh {
		return nil, err
	}
	limit, err := threshold(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("preparing token shards: %w", err)
	}
	plan.Threshold = fmt.Sprintf("%016x", limit)
	m := &Manifest{Plan: plan, Shards: []Entry{}}
	if err := m.write(dir); err != nil {
		return nil, err
	}
	return m, clean(dir, m)
}

func difference(a, b *Plan) string {
	switch {
	case a.Tokenizer != b.Tokenizer:
		return "a different tokenizer"
	case !reflect.DeepEqual(a.Inputs, b.Inputs):
		return "different or changed files"
	}
	return "different options"
}

// clean removes what a killed run left, and checks that the shards that the
// manifest lists are there.
func clean(dir string, m *Manifest) error {
	listed := map[string]bool{}
	for _, e := range m.Shards {
		for _, f := range []File{e.Train, e.Val} {
			if f.Name == "" {
				continue
			}
			listed[f.Name] = true
			h := head{width: widthOf(m.Vocab), ids: f.IDs, documents: f.Documents}
			info, err := os.Stat(filepath.Join(dir, f.Name))
			if err != nil || info.Size() != h.size() {
				return fmt.Errorf("%s: shard %s is missing or was cut short; prepare with --fresh", dir, f.Name)
			}
		}
	}
	if err := atomicfile.Sweep(dir); err != nil {
		return fmt.Errorf("cleaning up: %w", err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.shard*"))
	if err != nil {
		return err
	}
	for _, p := range names {
		if !listed[filepath.Base(p)] {
			if err := os.Remove(p); err != nil {
				return fmt.Errorf("cleaning up: %w", err)
			}
		}
	}
	return nil
}

// documents reads the inputs in order, from a cursor.
func documents(ctx context.Context, o *Options, from Cursor) iter.Seq2[placed, error] {
	return func(yield func(placed, error) bool) {
		for i := from.Input; i < len(o.Inputs); i++ {
			path, err := o.Inputs[i].Open(ctx)
			if err != nil {
				yield(placed{}, err)
				return
			}
			skip := int64(0)
			if i == from.Input {
				skip = from.Index
			}
			for d, err := range text.Documents(ctx, path, skip, o.Text) {
				if err == nil {
					err = ctx.Err()
				}
				if !yield(placed{d, i}, err) || err != nil {
					return
				}
			}
		}
	}
}

// chunk is a group of documents on its way through the workers.
type chunk struct {
	docs   []placed
	size   int           // bytes of text
	done   chan struct{} // closed when the rest is filled
	ids    []uint32      // of all documents
	ends   []int         // of each in ids
	hashes []uint64
	err    error
}

// run reads, encodes in parallel, and writes in the order of reading.
func run(ctx context.Context, dir string, m *Manifest, o *Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	work := make(chan *chunk)
	ordered := make(chan *chunk, 4*o.Workers)
	room := newBudget(inFlight)
	stop := context.AfterFunc(ctx, room.wake)
	defer stop()

	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel()
	var readErr error // set before ordered is closed
	reading.Go(func() {
		defer close(ordered)
		defer close(work)
		readErr = read(ctx, o, m.end(), func(c *chunk) error {
			if err := room.take(ctx, c.size); err != nil {
				return err
			}
			for _, to := range []chan *chunk{ordered, work} {
				select {
				case to <- c:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		})
	})
	// A worker may have a long document in hand. Nobody waits for it when the run
	// ends early: it touches nothing but its chunk.
	for range o.Workers {
		go func() {
			for c := range work {
				c.encode(ctx, m, o)
				close(c.done)
			}
		}()
	}
	out, err := newOutput(dir, m, o)
	if err != nil {
		return err
	}
	defer out.abandon()
	for c := range ordered {
		select {
		case <-c.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if c.err != nil {
			return c.err
		}
		if err := out.write(c); err != nil {
			return err
		}
		room.give(c.size)
		clear(c.docs)
		if cap(c.ids) <= chunkBytes {
			free.Put(c)
		}
	}
	if readErr != nil {
		return readErr
	}
	return out.complete()
}

var free = sync.Pool{New: func() any { return new(chunk) }}

// read groups the documents into chunks.
func read(ctx context.Context, o *Options, from Cursor, send func(*chunk) error) error {
	var c *chunk
	fresh := func() {
		c = free.Get().(*chunk)
		c.docs, c.size, c.done, c.err = c.docs[:0], 0, make(chan struct{}), nil
	}
	fresh()
	for d, err := range documents(ctx, o, from) {
		if err != nil {
			return err
		}
		c.docs = append(c.docs, d)
		c.size += len(d.Text)
		if c.size >= chunkBytes || len(c.docs) >= chunkDocuments {
			if err := send(c); err != nil {
				return err
			}
			fresh()
		}
	}
	if len(c.docs) == 0 {
		return nil
	}
	return send(c)
}

func (c *chunk) encode(ctx context.Context, m *Manifest, o *Options) {
	c.ids, c.ends, c.hashes = c.ids[:0], c.ends[:0], c.hashes[:0]
	for i := range c.docs {
		if c.err = ctx.Err(); c.err != nil {
			return
		}
		d := &c.docs[i]
		if m.BOS != nil {
			c.ids = append(c.ids, *m.BOS)
		}
		var err error
		if c.ids, err = o.Tokenizer.AppendOrdinary(c.ids, d.Text); err != nil {
			c.err = fmt.Errorf("%s: document %d: %w", printable.String(d.File), d.Index, err)
			return
		}
		if m.EOS != nil {
			c.ids = append(c.ids, *m.EOS)
		}
		c.ends = append(c.ends, len(c.ids))
		c.hashes = append(c.hashes, hash(d.Text))
	}
}

// output writes the shards, one at a time.
type output struct {
	dir       string
	m         *Manifest
	o         *Options
	threshold uint64

	train, val *writer
	text       int64  // bytes in the shard
	end        Cursor // after the last document written

	inputs, texts, ids *meter.Meter
	before             int64 // bytes of the inputs that are fully read
	progress           Progress
	told               time.Time
}

func newOutput(dir string, m *Manifest, o *Options) (*output, error) {
	limit, err := strconv.ParseUint(m.Threshold, 16, 64)
	if err != nil {
		return nil, fmt.Errorf("%s: the manifest is damaged (threshold %q); prepare with --fresh", dir, m.Threshold)
	}
	out := &output{dir: dir, m: m, o: o, threshold: limit, end: m.end()}
	total := int64(0)
	for i, in := range m.Inputs {
		total += in.Size
		if i < out.end.Input {
			out.before += in.Size
		}
	}
	train, val, bytes := m.Totals()
	out.inputs, out.texts, out.ids = meter.New(total), meter.New(0), meter.New(0)
	out.inputs.Skip(out.before + out.end.Read)
	out.texts.Skip(bytes)
	out.ids.Skip(train.IDs + val.IDs)
	out.progress.Documents = train.Documents + val.Documents
	out.progress.HeldOut = val.Documents
	out.progress.Shards = len(m.Shards)
	return out, nil
}

func (out *output) write(c *chunk) error {
	from := 0
	for i, d := range c.docs {
		ids := c.ids[from:c.ends[i]]
		from = c.ends[i]
		if err := out.add(ids, c.hashes[i] < out.threshold); err != nil {
			return err
		}
		out.text += int64(len(d.Text))
		for out.end.Input < d.input {
			out.inputs.Add(out.m.Inputs[out.end.Input].Size - out.end.Read)
			out.end = Cursor{Input: out.end.Input + 1}
		}
		out.inputs.Add(d.Read - out.end.Read)
		out.end = Cursor{Input: d.input, Index: d.Index + 1, Read: d.Read}
		if w := out.train; w != nil && (w.head.ids >= out.m.ShardIDs || w.head.documents >= shardDocuments) {
			if err := out.finish(); err != nil {
				return err
			}
		}
	}
	out.texts.Add(int64(c.size))
	out.ids.Add(int64(len(c.ids)))
	out.tell(false)
	return nil
}

func (out *output) add(ids []uint32, held bool) error {
	w, kind := &out.train, "train"
	if held {
		w, kind = &out.val, "val"
		out.progress.HeldOut++
	}
	out.progress.Documents++
	if *w == nil {
		var err error
		if *w, err = create(out.path(kind), out.m.Vocab, out.m.Tokenizer); err != nil {
			return err
		}
	}
	return (*w).add(ids)
}

func (out *output) path(kind string) string {
	return filepath.Join(out.dir, fmt.Sprintf("%s-%05d.shard", kind, len(out.m.Shards)))
}

// finish closes the shard and lists it.
func (out *output) finish() error {
	e := Entry{Text: out.text, End: out.end}
	for _, p := range []struct {
		w **writer
		f *File
	}{{&out.train, &e.Train}, {&out.val, &e.Val}} {
		if *p.w == nil {
			continue
		}
		*p.f = File{Name: filepath.Base((*p.w).path), IDs: (*p.w).head.ids, Documents: (*p.w).head.documents}
		if err := (*p.w).finish(); err != nil {
			return err
		}
		*p.w = nil
	}
	out.text = 0
	out.m.Shards = append(out.m.Shards, e)
	out.progress.Shards++
	return out.m.write(out.dir)
}

func (out *output) complete() error {
	out.end = Cursor{Input: len(out.m.Inputs)}
	out.m.Complete = true
	if out.train == nil && out.val == nil && len(out.m.Shards) > 0 {
		out.tell(true)
		return out.m.write(out.dir)
	}
	if train, _, _ := out.m.Totals(); out.train == nil && train.IDs == 0 {
		out.m.Complete = false
		return fmt.Errorf("the inputs hold no text to train on; the first of them is %s", printable.String(out.m.Inputs[0].Name))
	}
	err := out.finish()
	out.tell(true)
	return err
}

func (out *output) abandon() {
	for _, w := range []*writer{out.train, out.val} {
		if w != nil {
			w.abandon()
		}
	}
}

func (out *output) tell(last bool) {
	if out.o.Progress == nil || !last && time.Since(out.told) < 200*time.Millisecond {
		return
	}
	out.told = time.Now()
	p := out.progress
	p.Inputs, p.Text, p.IDs = out.inputs.Read(), out.texts.Read(), out.ids.Read()
	if last {
		p.Inputs.Done, p.Inputs.ETA = p.Inputs.Total, 0
	}
	out.o.Progress(p)
}

// budget bounds the text between reading and writing, so that neither more cores
// nor long documents cost more memory.
type budget struct {
	mu   sync.Mutex
	cond sync.Cond
	left int
	size int
}

func newBudget(size int) *budget {
	b := &budget{left: size, size: size}
	b.cond.L = &b.mu
	return b
}

// take waits for n; a request for more than the whole budget gets all of it.
func (b *budget) take(ctx context.Context, n int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.left < min(n, b.size) {
		if err := ctx.Err(); err != nil {
			return err
		}
		b.cond.Wait()
	}
	b.left -= n
	return ctx.Err()
}

func (b *budget) give(n int) {
	b.mu.Lock()
	b.left += n
	b.mu.Unlock()
	b.wake()
}

func (b *budget) wake() {
	b.mu.Lock() // so that no waiter is between its check and its wait
	defer b.mu.Unlock()
	b.cond.Broadcast()
}

// LocalInputs makes inputs of files on this machine.
func LocalInputs(files []text.Found) ([]Input, error) {
	var all []Input
	for _, f := range files {
		info, err := os.Stat(f.Path)
		if err != nil {
			return nil, fmt.Errorf("reading text: %w", err)
		}
		path := f.Path
		all = append(all, Input{
			Named: Named{Name: filepath.ToSlash(path), Size: info.Size(), Version: strings.TrimSuffix(info.ModTime().UTC().Format(time.RFC3339Nano), "Z")},
			Open:  func(context.Context) (string, error) { return path, nil },
		})
	}
	return all, nil
}
