package infer

import (
	"fmt"
	"log"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// passSize is how many tokens a pass takes, and of how many it gives logits.
type passSize struct{ tokens, rows int }

// passTokens are the sizes of passes. A step takes the smallest that fits; more
// sizes would fit better, and each takes seconds to compile on some adapters.
var passTokens = []int{1, 8, 32, 128}

// Tokens of prompts in a step: alone they are read fastest in large chunks; in
// company, and where all their logits are needed, chunks are small, so that other
// texts do not wait long for their next token.
const (
	chunkAlone   = 128
	chunkCompany = 32
)

// share is what a slot gets of a step.
type share struct {
	slot   *slot
	number int // of the slot
	tokens []uint32
	first  int // of its rows, and how many logits are needed
	rows   int
}

// step lets every text go on: those that are written by a token, prompts by a
// chunk. An error, and even a fault of the program, ends the texts of the step and
// not those after it.
func (b *Batch) step() {
	b.clock++
	shares := b.divide()
	err := b.compute(shares)
	for _, sh := range shares {
		if err != nil {
			sh.slot.tokens = nil // what the cache holds is not certain
			b.release(sh.slot, err)
		}
	}
	if err != nil {
		return
	}
	each(shares, func(sh *share) {
		if err := protect(func() error { return b.choose(sh) }); err != nil {
			sh.slot.job.end(err)
		}
	})
	for _, sh := range shares {
		select {
		case <-sh.slot.job.done: // by an error above
			b.release(sh.slot, nil)
		default:
		}
	}
}

// divide divides the tokens of a step among the texts. Each text that is written
// gets one; what is left goes to the prompts in equal parts, and what a short one
// does not need to the longer ones.
func (b *Batch) divide() []*share {
	var all, prompts []*share
	company, scores := false, false
	for i, s := range b.slots {
		if s.job == nil {
			continue
		}
		sh := &share{slot: s, number: i, tokens: s.job.pending(len(s.tokens))}
		all = append(all, sh)
		if len(sh.tokens) > 1 {
			prompts = append(prompts, sh)
		}
		company = company || len(sh.tokens) == 1
		scores = scores || s.job.scores(len(s.tokens))
	}
	left := chunkAlone
	if company || scores {
		left = max(chunkCompany, passFor(2*len(all)))
	}
	left -= len(all) - len(prompts)
	wanted := 0
	for _, sh := range prompts {
		wanted += len(sh.tokens)
	}
	left = min(left, fitting(wanted+len(all)-len(prompts), len(all))-(len(all)-len(prompts)))
	slices.SortStableFunc(prompts, func(a, b *share) int { return len(a.tokens) - len(b.tokens) })
	for i, sh := range prompts {
		n := min(len(sh.tokens), max(1, left/(len(prompts)-i)))
		sh.tokens = sh.tokens[:n]
		left -= n
	}
	return all
}

// passFor is the size of the smallest pass for n tokens.
func passFor(n int) int {
	for _, size := range passTokens {
		if n <= size {
			return size
		}
	}
	return (n + 127) / 128 * 128
}

// fitting is how many of n tokens, texts of them at least, to take at once: all,
// unless they fill less than a half of their pass. Then the pass before it does
// more in the same time.
func fitting(n, texts int) int {
	size := passFor(n)
	for _, smaller := range passTokens {
		if smaller < size && smaller > texts && n <= 2*smaller {
			return smaller
		}
	}
	return n
}

// compute runs the network over the tokens of a step and reads the logits.
func (b *Batch) compute(shares []*share) error {
	return protect(func() error {
		tokens, rows := 0, 0
		for _, sh := range shares {
			fed := len(sh.slot.tokens)
			tokens += len(sh.tokens)
			sh.first = rows
			switch {
			case sh.slot.job.scores(fed):
				sh.rows = len(sh.tokens)
			case fed+len(sh.tokens) == len(sh.slot.job.writer.tokens):
				sh.rows = 1
			}
			rows += sh.rows
		}
		p, err := b.pass(tokens, rows)
		if err != nil {
			return err
		}
		p.reset()
		t := 0
		for _, sh := range shares {
			for i, id := range sh.tokens {
				p.put(t, id, uint32(len(sh.slot.tokens)+i), sh.number)
				if row := i - (len(sh.tokens) - sh.rows); row >= 0 {
					p.rows[sh.first+row] = uint32(t)
				}
				t++
			}
			sh.slot.tokens = append(sh.slot.tokens, sh.tokens...)
		}
		if err := p.run(); err != nil {
			return err
		}
		if rows == 0 { // one step at a time, so that a text that leaves is not computed any more
			return b.model.Device().Wait()
		}
		n := rows * b.model.Config.VocabSize
		if len(b.logits) < n {
			b.logits = make([]float32, n)
		}
		return p.program.Logits(b.logits[:n])
	})
}

// pass is the pass for so many tokens and logits.
func (b *Batch) pass(tokens, rows int) (*pass, error) {
	size := passSize{passFor(tokens), 0}
	if size.rows = min(size.tokens, len(b.slots)); rows > size.rows {
		size.rows = size.tokens
	}
	if p := b.passes[size]; p != nil {
		return p, nil
	}
	p, err := newPass(b.model.Model, b.cache, size.tokens, size.rows, true)
	if err != nil {
		return nil, fmt.Errorf("preparing a step of %d tokens: %w", size.tokens, err)
	}
	b.passes[size] = p
	return p, nil
}

// longWarm is how long a pass may take to be compiled and run: where one takes longer,
// the larger ones would make the first text wait even longer.
const longWarm = 10 * time.Second

// compileNext compiles a pass that is missing and runs it over nothing, because
// some drivers compile only then. It reports false when there is nothing to do.
func (b *Batch) compileNext() bool {
	b.mu.Lock()
	warm := b.warm
	b.mu.Unlock()
	if !warm {
		return false
	}
	began := time.Now()
	did, err := b.warmNext()
	if did && err == nil && time.Since(began) < longWarm {
		return true
	}
	b.mu.Lock()
	b.warm = false // with an error, the first text that needs the pass says why
	b.mu.Unlock()
	return did && err == nil
}

// warmNext compiles and runs the smallest pass that is missing, if one is.
func (b *Batch) warmNext() (did bool, err error) {
	for _, tokens := range passTokens {
		if b.passes[passSize{tokens, min(tokens, len(b.slots))}] != nil {
			continue
		}
		return true, protect(func() error {
			p, err := b.pass(tokens, 1)
			if err != nil {
				return err
			}
			p.reset()
			if err := p.run(); err != nil {
				return err
			}
			return p.program.Logits(make([]float32, b.model.Config.VocabSize))
		})
	}
	return false, nil
}

// choose takes the logits of a share: it measures tokens of the prompt, and chooses
// the next token once the prompt is read.
func (b *Batch) choose(sh *share) error {
	j, vocab := sh.slot.job, b.model.Config.VocabSize
	row := func(i int) []float32 { return b.logits[(sh.first+i)*vocab:][:vocab] }
	first := len(sh.slot.tokens) - len(sh.tokens) // position of its first token
	if j.request.PromptLogProbs {
		for i := range sh.rows {
			if at := first + i + 1; at < len(j.request.Tokens) {
				j.writer.done.Prompt = append(j.writer.done.Prompt, logProb(row(i), j.request.Tokens[at], j.request.TopLogProbs))
			}
		}
	}
	if len(sh.slot.tokens) < len(j.writer.tokens) || !j.writer.wants() {
		return nil // dismiss ends what is complete
	}
	more, err := j.writer.next(row(sh.rows - 1))
	if err == nil && !more {
		j.end(nil)
	}
	return err
}

// each calls f for all shares at once.
func each(shares []*share, f func(*share)) {
	if len(shares) == 1 {
		f(shares[0])
		return
	}
	var all sync.WaitGroup
	for _, sh := range shares {
		all.Go(func() { f(sh) })
	}
	all.Wait()
}

// protect turns a fault of the program into an error, and logs where it was.
func protect(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Printf("writing texts failed: %v\n%s", p, debug.Stack())
			err = fmt.Errorf("this is a fault of bitnet, please report it: %v", p)
		}
	}()
	return f()
}
