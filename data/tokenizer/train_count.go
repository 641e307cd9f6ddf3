package tokenizer

import (
	"context"
	"iter"
	"runtime"
	"sync"
)

const (
	batchBytes = 1 << 20 // of documents handed to a worker at once
	localWords = 1 << 17 // that a worker holds before it adds them to the shards
	shardBits  = 6
	// Words between two looks at whether the context has ended.
	wordsPerLook = 1 << 13
)

// countWords gives every distinct word of docs and how often it occurs, in
// 1<<shardBits tables.
func countWords(ctx context.Context, docs iter.Seq[string], split splitter, progress func(done, total int)) ([]wordTable, error) {
	var shards [1 << shardBits]struct {
		sync.Mutex
		wordTable
	}
	batches := make(chan []string)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			var local wordTable
			seen := 0
			ended := func() bool {
				seen++
				return seen%wordsPerLook == 0 && ctx.Err() != nil
			}
			flush := func() {
				for i := range local.entries {
					if ended() {
						return
					}
					e := &local.entries[i]
					s := &shards[e.hash>>(64-shardBits)]
					s.Lock()
					addWord(&s.wordTable, local.word(e), e.hash, e.count)
					s.Unlock()
				}
				local.reset()
			}
			for batch := range batches {
				for _, doc := range batch {
					whole := split.each(doc, 0, func(w string) bool {
						addWord(&local, w, hashWord(w), 1)
						return !ended()
					})
					if !whole {
						break
					}
					if len(local.entries) > localWords {
						flush()
					}
				}
			}
			flush()
		})
	}

	var batch []string
	size, read := 0, 0
	send := func() bool {
		select {
		case batches <- batch:
		case <-ctx.Done():
			return false
		}
		read += size
		progress(read, 0)
		batch, size = nil, 0
		return true
	}
	for doc := range docs {
		if ctx.Err() != nil {
			break
		}
		batch = append(batch, doc)
		size += len(doc)
		if size >= batchBytes && !send() {
			break
		}
	}
	if ctx.Err() == nil {
		send()
	}
	close(batches)
	workers.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	tables := make([]wordTable, len(shards))
	for i := range shards {
		tables[i] = shards[i].wordTable
	}
	return tables, nil
}

// each calls f with the words of text, which is what the scanners before number
// n left, until f returns false. It says whether it reached the end.
func (s *splitter) each(text string, n int, f func(word string) bool) bool {
	last := n == len(s.scanners)-1
	if last && s.prefixSpace && text != "" && text[0] != ' ' {
		text = " " + text
	}
	for i := 0; i < len(text); {
		end := i + s.scanners[n](text[i:])
		more := false
		if last {
			more = f(text[i:end])
		} else {
			more = s.each(text[i:end], n+1, f)
		}
		if !more {
			return false
		}
		i = end
	}
	return true
}

// wordTable counts words. It is our own hash table, so that a word costs its
// bytes and 32 more, and no allocation.
type wordTable struct {
	entries []wordEntry
	bytes   []byte
	index   []uint32 // by hash: the number of an entry and 1, or 0
}

type wordEntry struct {
	hash   uint64
	at     uint64 // in bytes
	length uint64
	count  int64
}

func (t *wordTable) word(e *wordEntry) []byte { return t.bytes[e.at : e.at+e.length] }

func addWord[T string | []byte](t *wordTable, w T, hash uint64, count int64) {
	if 2*len(t.entries) >= len(t.index) {
		t.grow()
	}
	mask := uint64(len(t.index) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		n := t.index[i]
		if n == 0 {
			t.entries = append(t.entries, wordEntry{hash, uint64(len(t.bytes)), uint64(len(w)), count})
			t.bytes = append(t.bytes, w...)
			t.index[i] = uint32(len(t.entries))
			return
		}
		if e := &t.entries[n-1]; e.hash == hash && string(t.word(e)) == string(w) {
			e.count += count
			return
		}
	}
}

func (t *wordTable) grow() {
	t.index = make([]uint32, max(1024, 2*len(t.index)))
	mask := uint64(len(t.index) - 1)
	for n, e := range t.entries {
		i := e.hash & mask
		for t.index[i] != 0 {
			i = (i + 1) & mask
		}
		t.index[i] = uint32(n + 1)
	}
}

func (t *wordTable) reset() {
	t.entries, t.bytes = t.entries[:0], t.bytes[:0]
	clear(t.index)
}
