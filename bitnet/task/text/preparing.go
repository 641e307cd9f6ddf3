package text

import (
	"iter"
	"sync"
	"time"

	"bitnet/bitnet/task"
	"bitnet/data/corpus"
	"bitnet/data/shard"
)

// preparing collects what a task.Preparation says.
type preparing struct {
	source *corpus.Corpus

	mu  sync.Mutex
	now task.Preparation
}

// report reports the state of the preparation several times a second, until its
// result is called.
func (p *preparing) report(to func(task.Preparation)) (done func()) {
	if to == nil {
		return func() {}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-end:
				return
			case <-tick.C:
				to(p.read())
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}

func (p *preparing) read() task.Preparation {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now.Downloads, p.now.Fetched = p.source.Downloads()
	p.now.Files = p.source.Needs.Files
	return p.now
}

// sampled counts the bytes of docs.
func (p *preparing) sampled(docs iter.Seq[string]) iter.Seq[string] {
	return func(yield func(string) bool) {
		for d := range docs {
			p.mu.Lock()
			p.now.Sample = min(tokenizerSample, p.source.Needs.Text)
			p.now.Sampled += int64(len(d))
			p.mu.Unlock()
			if !yield(d) {
				return
			}
		}
	}
}

func (p *preparing) shards(now shard.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now.Shards = now
}
