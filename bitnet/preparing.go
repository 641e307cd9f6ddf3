package bitnet

import (
	"iter"
	"sync"
	"time"

	corpora "bitnet/data/corpus"
	"bitnet/data/meter"
	"bitnet/data/shard"
)

// Preparation is how far text is on its way to the first batch.
type Preparation struct {
	Downloads meter.Reading // bytes
	Fetched   int           // files
	Files     int
	Sampled   int64 // bytes of text read to train a tokenizer on
	Sample    int64 // about how many it will be; 0 without such training
	Shards    shard.Progress
}

// preparing collects what Preparation tells.
type preparing struct {
	source *corpora.Corpus

	mu  sync.Mutex
	now Preparation
}

// tell hands on the state of the preparation, now and then until its result is
// called.
func (p *preparing) tell(events Events) (done func()) {
	if events.Prepare == nil {
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
				events.Prepare(p.read())
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}

func (p *preparing) read() Preparation {
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
