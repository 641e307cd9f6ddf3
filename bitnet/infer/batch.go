package infer

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"bitnet/data/tokenizer"
	"bitnet/graph"
)

// Batch writes several texts at once with an opened model. Texts join and leave
// between two steps; in each step every text gets a token, and prompts are read in
// chunks between them. A text that has to wait for its turn waits in order. What a
// text has in common with an earlier one is not computed again.
//
// A text does not depend on those beside it: with the same request and seed it has
// the same tokens, alone or in company.
//
// Its methods may be called from several goroutines.
type Batch struct {
	model   *Model
	tok     *tokenizer.Tokenizer
	cache   *graph.Cache
	context int
	slots   []*slot
	passes  map[passSize]*pass
	logits  []float32
	clock   uint64 // counts steps

	mu      sync.Mutex
	queue   []*job // that wait, in order
	running int    // texts that have a slot
	refused error  // why no text begins any more
	warm    bool   // compile all passes when there is nothing else to do

	wake  chan struct{} // there is something new to look at
	quit  chan struct{}
	ended chan struct{}
}

// slot is a sequence of the cache.
type slot struct {
	tokens []uint32 // whose keys and values it holds
	job    *job     // nil for none
	used   uint64   // the clock when it was used last
}

// BatchRequest is a text for a Batch.
type BatchRequest struct {
	Request
	// PromptLogProbs asks for the log-probability of each token of the prompt but
	// the first: Completion.Prompt.
	PromptLogProbs bool
	// Time bounds how long the text may take from its first step; 0 does not. What
	// was written by then is the completion, of the reason "length".
	Time time.Duration
	// Begin, if it is not nil, is called when the text has its turn, and holds up
	// all texts until it returns.
	Begin func()
}

// Piece is a part of a text, with the log-probabilities of its tokens if they were
// asked for.
type Piece struct {
	Text     string
	LogProbs []LogProb
}

// mostCache is how many bytes of keys and values a Batch keeps if nobody says how
// many texts it writes at once.
const mostCache = 1 << 30

// usualTexts is how many texts a Batch writes at once, if they fit mostCache.
const usualTexts = 8

// NewBatch makes room for texts of at most length tokens, n of them at once. A
// length of 0 takes what the model allows, up to 4096; an n of 0 takes 8, or as many
// as 1 GiB of keys and values allows.
func (m *Model) NewBatch(n, length int) (*Batch, error) {
	if length == 0 {
		length = min(m.Config.MaxPositions, 4096)
	}
	cache, n, err := m.room(n, length)
	if err != nil {
		return nil, err
	}
	if err := cache.Allocate(m.Device()); err != nil {
		return nil, err
	}
	b := &Batch{
		model: m, tok: m.Tokenizer, cache: cache, context: length, passes: map[passSize]*pass{},
		wake: make(chan struct{}, 1), quit: make(chan struct{}), ended: make(chan struct{}),
	}
	for range n {
		b.slots = append(b.slots, &slot{})
	}
	go b.run()
	return b, nil
}

// room lays out the cache for n texts; 0 for as many as fit mostCache.
func (m *Model) room(n, length int) (*graph.Cache, int, error) {
	if err := checkContext(m.Model, length); err != nil {
		return nil, 0, err
	}
	if n > 0 {
		cache, err := m.NewCache(n, length)
		return cache, n, err
	}
	for n = usualTexts; ; n /= 2 {
		cache, err := m.NewCache(n, length)
		if n == 1 || err == nil && cache.Bytes() <= mostCache {
			return cache, n, err
		}
	}
}

// Context is the most tokens that a text can have.
func (b *Batch) Context() int { return b.context }

// AtOnce is how many texts it writes at once.
func (b *Batch) AtOnce() int { return len(b.slots) }

// Load is how many texts are written now, and how many wait.
func (b *Batch) Load() (running, waiting int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.running, len(b.queue)
}

// Warm compiles, while there is nothing else to do, what the first texts would have
// to wait for.
func (b *Batch) Warm() {
	b.mu.Lock()
	b.warm = true
	b.mu.Unlock()
	b.look()
}

// Refuse lets no text begin any more: those that wait, and later ones, end with an
// error. Texts that have begun go on.
func (b *Batch) Refuse(why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refused = why
	for _, j := range b.queue {
		j.end(why)
	}
	b.queue = nil
}

// errReleased ends the texts of a batch that was released.
var errReleased = errors.New("the batch was released")

// Release ends all texts and frees the buffers.
func (b *Batch) Release() {
	b.Refuse(errReleased)
	close(b.quit)
	<-b.ended
	for _, p := range b.passes {
		p.program.Release()
	}
	b.cache.Release()
}

// Complete continues a text; emit, if it is not nil, gets each piece as soon as it
// is certain, and does not hold up other texts however long it takes. An error of
// emit ends the text. When ctx ends, the text leaves its place at once, and what was
// written so far is returned with ctx's error.
func (b *Batch) Complete(ctx context.Context, r BatchRequest, emit func(Piece) error) (Completion, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	j := &job{ctx: ctx, request: r, queued: time.Now(), news: make(chan struct{}, 1), done: make(chan struct{})}
	var err error
	if j.writer, err = newWriter(b.tok, b.context, r.Request, j.emit); err != nil {
		return j.writer.done, err
	}
	if err := b.enqueue(j); err != nil {
		return j.writer.done, err
	}
	gone := ctx.Done()
	for {
		select {
		case <-j.news:
		case <-gone:
			b.leave(j)
			gone = nil
		case <-j.done:
			if j.err == nil {
				j.err = j.deliver(emit)
			}
			return j.writer.result(), j.err
		}
		if err := j.deliver(emit); err != nil {
			cancel(err) // its place is free before the next step
			b.leave(j)
			<-j.done
			return j.writer.result(), err
		}
	}
}

// enqueue puts a text at the end of the queue.
func (b *Batch) enqueue(j *job) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refused != nil {
		return b.refused
	}
	b.queue = append(b.queue, j)
	b.look()
	return nil
}

// leave takes a text whose context ended out of the queue. One that is written is
// seen by the next step.
func (b *Batch) leave(j *job) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.queue, j); i >= 0 {
		b.queue = slices.Delete(b.queue, i, i+1)
		j.end(context.Cause(j.ctx))
	}
}

// look wakes the loop.
func (b *Batch) look() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// run steps while there are texts.
func (b *Batch) run() {
	defer close(b.ended)
	for {
		select {
		case <-b.quit:
			for _, s := range b.slots {
				if s.job != nil {
					b.release(s, errReleased)
				}
			}
			return
		default:
		}
		b.admit()
		b.dismiss()
		if b.busy() {
			b.step()
			continue
		}
		if b.compileNext() {
			continue
		}
		select {
		case <-b.wake:
		case <-b.quit:
		}
	}
}

func (b *Batch) busy() bool {
	return slices.ContainsFunc(b.slots, func(s *slot) bool { return s.job != nil })
}

// admit gives free slots to the texts that wait, in order.
func (b *Batch) admit() {
	for {
		s := b.admitNext()
		if s == nil {
			return
		}
		s.job.begin(len(s.tokens))
	}
}

// admitNext gives the first text that waits a slot; nil if there is none.
func (b *Batch) admitNext() *slot {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		return nil
	}
	j := b.queue[0]
	s := b.freeSlot(j)
	if s == nil {
		return nil
	}
	b.queue = slices.Delete(b.queue, 0, 1)
	b.running++
	known := 0
	if !j.request.PromptLogProbs {
		known = shared(s.tokens, j.request.Tokens)
	}
	s.job, s.tokens, s.used = j, s.tokens[:known], b.clock
	return s
}

// worthKeeping is how many shared tokens make a text take a certain slot, so that
// a long text is not given up for a few tokens that all texts begin with.
const worthKeeping = 32

// freeSlot is the free slot that holds most of a text, or the one that was not used
// for the longest time; nil for none.
func (b *Batch) freeSlot(j *job) *slot {
	var best, oldest *slot
	most := 0
	for _, s := range b.slots {
		if s.job != nil {
			continue
		}
		if oldest == nil || s.used < oldest.used {
			oldest = s
		}
		n := shared(s.tokens, j.request.Tokens)
		if n > most && (n >= worthKeeping || 2*n >= len(s.tokens)) {
			best, most = s, n
		}
	}
	if best != nil {
		return best
	}
	return oldest
}

// dismiss ends the texts that nobody waits for, those whose time is over, and those
// that want no token.
func (b *Batch) dismiss() {
	for _, s := range b.slots {
		switch j := s.job; {
		case j == nil:
		case j.ctx.Err() != nil:
			b.release(s, context.Cause(j.ctx))
		case j.request.Time > 0 && time.Since(j.writer.began) > j.request.Time:
			b.release(s, nil)
		case j.complete(len(s.tokens)):
			b.release(s, nil)
		}
	}
}

// release ends the text of a slot, which keeps its tokens for the next one.
func (b *Batch) release(s *slot, err error) {
	s.job.end(err)
	s.job, s.used = nil, b.clock
	b.mu.Lock()
	b.running--
	b.mu.Unlock()
}
