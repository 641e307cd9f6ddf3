package tokenizer

import (
	"context"
	"errors"
)

// learner holds the distinct words as tokens and merges them step by step.
type learner struct {
	symbols []uint32 // of all words, one after the other
	start   []uint32 // where a word begins in symbols
	length  []uint32 // how many tokens it has by now
	counts  []int64  // how often it is in the text

	pairs pairCounts
	queue []candidate // a heap, best first
	step  step
}

// candidate is a pair that may be merged next. Its count may have fallen since;
// that is found out when its turn comes.
type candidate struct {
	count int64
	pair  uint64 // left << 32 | right
	words []uint32
}

func (c *candidate) before(d *candidate) bool {
	return c.count > d.count || c.count == d.count && c.pair < d.pair
}

// learn merges the best pair until there are o.VocabSize tokens.
func (p *parts) learn(ctx context.Context, tables []wordTable, o TrainOptions) error {
	ids := make(map[string]uint32, o.VocabSize)
	for id, token := range p.tokens {
		ids[token] = uint32(id)
	}
	var byteID [256]uint32
	for b, c := range symbolOfByte {
		byteID[b] = ids[string(c)]
	}
	l, err := newLearner(ctx, tables, byteID)
	if err != nil {
		return err
	}
	l.step.init(o.VocabSize)
	for len(p.tokens) < o.VocabSize && len(l.queue) > 0 {
		top := &l.queue[0]
		if count := l.pairs.get(top.pair); count != top.count {
			top.count = count
			l.sink(0)
			continue
		}
		if top.count < int64(max(1, o.MinFrequency)) {
			break
		}
		pair, words := top.pair, top.words
		l.pop()

		left, right := uint32(pair>>32), uint32(pair)
		token := p.tokens[left] + p.tokens[right]
		result, known := ids[token]
		if !known {
			result = uint32(len(p.tokens))
			p.tokens = append(p.tokens, token)
			ids[token] = result
		}
		p.merges = append(p.merges, Merge{left, right, result})
		if err := l.merge(ctx, left, right, result, words); err != nil {
			return err
		}
		if len(p.merges)%64 == 0 {
			o.Progress(len(p.tokens), o.VocabSize)
		}
	}
	o.Progress(len(p.tokens), len(p.tokens))
	p.merges = lastOfEqual(p.merges)
	return ctx.Err()
}

// lastOfEqual keeps the last of several merges of one pair: training can make
// one twice, where a token arises in two ways, and files may repeat them.
func lastOfEqual(merges []Merge) []Merge {
	last := make(map[[2]uint32]int, len(merges))
	for i, m := range merges {
		last[[2]uint32{m.Left, m.Right}] = i
	}
	if len(last) == len(merges) {
		return merges
	}
	kept := merges[:0]
	for i, m := range merges {
		if last[[2]uint32{m.Left, m.Right}] == i {
			kept = append(kept, m)
		}
	}
	return kept
}

// newLearner spells the words in bytes and counts the pairs. It empties tables.
func newLearner(ctx context.Context, tables []wordTable, byteID [256]uint32) (*learner, error) {
	words, symbols := 0, 0
	for i := range tables {
		words += len(tables[i].entries)
		symbols += len(tables[i].bytes)
	}
	if symbols > 1<<32-1 {
		return nil, errors.New("the distinct words are more than 4 GB; train on a sample")
	}
	l := &learner{
		symbols: make([]uint32, 0, symbols),
		start:   make([]uint32, 0, words),
		length:  make([]uint32, 0, words),
		counts:  make([]int64, 0, words),
	}
	var count, where [1 << 16]int64 // by pair of bytes
	for i := range tables {
		t := &tables[i]
		for j := range t.entries {
			if j%wordsPerLook == 0 && ctx.Err() != nil {
				return nil, ctx.Err()
			}
			e := &t.entries[j]
			l.start = append(l.start, uint32(len(l.symbols)))
			l.length = append(l.length, uint32(e.length))
			l.counts = append(l.counts, e.count)
			w := t.word(e)
			for k, b := range w {
				l.symbols = append(l.symbols, byteID[b])
				if k > 0 {
					pair := int(w[k-1])<<8 | int(b)
					count[pair] += e.count
					where[pair]++
				}
			}
		}
	}
	// Where the pairs are: one list for all, of which each pair gets a part.
	total := int64(0)
	for pair, n := range where {
		where[pair] = total
		total += n
	}
	list := make([]uint32, total)
	end := where
	word := uint32(0)
	for i := range tables {
		t := &tables[i]
		for j := range t.entries {
			if j%wordsPerLook == 0 && ctx.Err() != nil {
				return nil, ctx.Err()
			}
			w := t.word(&t.entries[j])
			for k := 1; k < len(w); k++ {
				pair := int(w[k-1])<<8 | int(w[k])
				if at := end[pair]; at == where[pair] || list[at-1] != word {
					list[at] = word
					end[pair]++
				}
			}
			word++
		}
		*t = wordTable{}
	}
	for pair, n := range count {
		if n == 0 {
			continue
		}
		key := uint64(byteID[pair>>8])<<32 | uint64(byteID[pair&255])
		l.pairs.add(key, n)
		l.queue = append(l.queue, candidate{n, key, list[where[pair]:end[pair]]})
	}
	for i := len(l.queue)/2 - 1; i >= 0; i-- {
		l.sink(i)
	}
	return l, nil
}

// step gathers the pairs that one merge makes: those of the new token with a
// token before it, and with one after it.
type step struct {
	counts [2][]int64  // by side and the other token
	last   [2][]uint32 // the number of the word that came last, and 1
	sizes  [2][]uint32 // how many words
	found  []occurrence
	seen   [2][]uint32 // the tokens with a count
}

type occurrence struct{ side, token, word uint32 }

func (s *step) init(vocab int) {
	for side := range 2 {
		s.counts[side] = make([]int64, vocab)
		s.last[side] = make([]uint32, vocab)
		s.sizes[side] = make([]uint32, vocab)
	}
}

func (s *step) add(side, token, word uint32, count int64) {
	s.counts[side][token] += count
	if s.last[side][token] == word+1 {
		return
	}
	if s.last[side][token] == 0 {
		s.seen[side] = append(s.seen[side], token)
	}
	s.last[side][token] = word + 1
	s.sizes[side][token]++
	s.found = append(s.found, occurrence{side, token, word})
}

// merge replaces left right by result in words, and queues the pairs that arise.
//
// The count of the pair itself stays what it was, as in Hugging Face's trainer;
// that matters only where a token arises in two ways, and the pair with it again.
//
// A merge of a common pair takes seconds where there are many words. When ctx
// ends it stops in the middle, and the learner cannot be used any more.
func (l *learner) merge(ctx context.Context, left, right, result uint32, words []uint32) error {
	const before, after = 0, 1
	s := &l.step
	for i, word := range words {
		if i%wordsPerLook == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		w := l.symbols[l.start[word]:][:l.length[word]]
		count := l.counts[word]
		n := 0
		for i := 0; i < len(w); {
			if w[i] != left || i+1 == len(w) || w[i+1] != right {
				w[n] = w[i]
				n++
				i++
				continue
			}
			if n > 0 {
				l.pairs.add(uint64(w[n-1])<<32|uint64(left), -count)
				s.add(before, w[n-1], word, count)
			}
			w[n] = result
			n++
			i += 2
			if i < len(w) {
				l.pairs.add(uint64(right)<<32|uint64(w[i]), -count)
				if w[i] == result {
					s.add(before, result, word, count)
				} else {
					s.add(after, w[i], word, count)
				}
			}
		}
		l.length[word] = uint32(n)
	}

	// Sort what was found by pair, into one list that the pairs share.
	list := make([]uint32, len(s.found))
	at := uint32(0)
	for side := range 2 {
		for _, token := range s.seen[side] {
			size := s.sizes[side][token]
			s.sizes[side][token] = at
			at += size
		}
	}
	for _, f := range s.found {
		list[s.sizes[f.side][f.token]] = f.word
		s.sizes[f.side][f.token]++
	}
	begin := uint32(0)
	for side := range 2 {
		for _, token := range s.seen[side] {
			end := s.sizes[side][token]
			pair := uint64(token)<<32 | uint64(result)
			if side == after {
				pair = uint64(result)<<32 | uint64(token)
			}
			if count := l.pairs.add(pair, s.counts[side][token]); count > 0 {
				l.push(candidate{count, pair, list[begin:end:end]})
			}
			begin = end
			s.counts[side][token], s.last[side][token], s.sizes[side][token] = 0, 0, 0
		}
		s.seen[side] = s.seen[side][:0]
	}
	s.found = s.found[:0]
	return nil
}

func (l *learner) push(c candidate) {
	l.queue = append(l.queue, c)
	q := l.queue
	for i := len(q) - 1; i > 0; {
		parent := (i - 1) / 2
		if !q[i].before(&q[parent]) {
			return
		}
		q[i], q[parent] = q[parent], q[i]
		i = parent
	}
}

func (l *learner) pop() {
	last := len(l.queue) - 1
	l.queue[0] = l.queue[last]
	l.queue[last] = candidate{}
	l.queue = l.queue[:last]
	l.sink(0)
}

func (l *learner) sink(i int) {
	q := l.queue
	for {
		child := 2*i + 1
		if child >= len(q) {
			return
		}
		if child+1 < len(q) && q[child+1].before(&q[child]) {
			child++
		}
		if !q[child].before(&q[i]) {
			return
		}
		q[i], q[child] = q[child], q[i]
		i = child
	}
}

// pairCounts counts pairs by open addressing.
type pairCounts struct {
	slots []pairCount
	used  int
}

type pairCount struct {
	pair  uint64 // and 1: 0 is empty
	count int64
}

// add gives the count that the pair has then.
func (p *pairCounts) add(pair uint64, count int64) int64 {
	if 2*p.used >= len(p.slots) {
		p.grow()
	}
	s := p.find(pair)
	if s.pair == 0 {
		s.pair = pair + 1
		p.used++
	}
	s.count += count
	return s.count
}

func (p *pairCounts) get(pair uint64) int64 { return p.find(pair).count }

func (p *pairCounts) find(pair uint64) *pairCount {
	mask := uint64(len(p.slots) - 1)
	for i := mix(pair, 0) & mask; ; i = (i + 1) & mask {
		if s := &p.slots[i]; s.pair == pair+1 || s.pair == 0 {
			return s
		}
	}
}

func (p *pairCounts) grow() {
	old := p.slots
	p.slots = make([]pairCount, max(1<<12, 2*len(old)))
	for _, s := range old {
		if s.pair != 0 {
			*p.find(s.pair - 1) = s
		}
	}
}
