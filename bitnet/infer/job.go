package infer

import (
	"context"
	"sync"
	"time"
)

// job is a text of a Batch. The loop of the batch writes it; another goroutine
// takes its pieces.
type job struct {
	ctx     context.Context
	request BatchRequest
	writer  *writer
	queued  time.Time

	mu     sync.Mutex
	pieces []Piece
	told   int           // log-probabilities that pieces had
	news   chan struct{} // there are pieces

	done chan struct{} // closed at the end; then err says why
	once sync.Once
	err  error
}

// begin is called when the job has a slot that knows some of its tokens.
func (j *job) begin(known int) {
	j.writer.began = time.Now()
	j.writer.done.Cached = known
	j.writer.done.Waited = j.writer.began.Sub(j.queued)
	if j.request.PromptLogProbs {
		j.writer.done.Prompt = make([]LogProb, 1, len(j.request.Tokens))
		j.writer.done.Prompt[0].Token = j.request.Tokens[0]
	}
	if j.request.Begin != nil {
		j.request.Begin()
	}
}

// complete says whether nothing is left to do for a text of which so many tokens
// were fed.
func (j *job) complete(fed int) bool {
	scored := !j.request.PromptLogProbs || fed >= len(j.request.Tokens)-1
	return scored && !j.writer.wants()
}

// pending are the tokens that the network has to see next. A text that is only
// measured does not need its last one.
func (j *job) pending(fed int) []uint32 {
	left := j.writer.tokens[fed:]
	if !j.writer.wants() && len(j.writer.done.Tokens) == 0 {
		left = left[:len(left)-1]
	}
	return left
}

// scores says whether the logits of all its next tokens are needed.
func (j *job) scores(fed int) bool {
	return j.request.PromptLogProbs && fed < len(j.request.Tokens)-1
}

// emit keeps a piece until it is taken. It never waits.
func (j *job) emit(text string) error {
	all := j.writer.done.LogProbs
	j.mu.Lock()
	j.pieces = append(j.pieces, Piece{text, all[j.told:len(all):len(all)]})
	j.told = len(all)
	j.mu.Unlock()
	select {
	case j.news <- struct{}{}:
	default:
	}
	return nil
}

// deliver hands out the pieces that there are.
func (j *job) deliver(emit func(Piece) error) error {
	j.mu.Lock()
	pieces := j.pieces
	j.pieces = nil
	j.mu.Unlock()
	for _, p := range pieces {
		if emit != nil {
			if err := emit(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// end ends the job once. A whole text gives out what was held back.
func (j *job) end(err error) {
	j.once.Do(func() {
		if err == nil {
			err = j.writer.finish()
			if all := j.writer.done.LogProbs; err == nil && j.told < len(all) {
				err = j.emit("") // tokens without text, such as those of a stop string
			}
		}
		j.err = err
		close(j.done)
	})
}
