package infer

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"bitnet/data/tokenizer"
)

// Request is a text to continue.
type Request struct {
	Tokens   []uint32
	Limit    int // new tokens at most; 0 for as many as the context allows, less for none
	Sampling Sampling
	Stop     []string // end before any of these
	// LogProbs asks for the log-probability of each new token, and for the
	// likeliest TopLogProbs tokens in its place.
	LogProbs    bool
	TopLogProbs int
}

// LogProb is the log-probability of a token, as the model gives it, before
// temperature, penalties and biases.
type LogProb struct {
	Token   uint32
	LogProb float64
	Top     []LogProb // the likeliest tokens in its place, the likeliest first
}

// Completion is what was written.
type Completion struct {
	Text         string
	Prompt       []LogProb // of the prompt's tokens, if they were asked for; the first has none
	LogProbs     []LogProb // of Tokens, if they were asked for
	Tokens       []uint32  // the new ones, without the token that ended the text
	Reason       string    // "stop": an end token or a stop string; "length": the limit or the context
	Ended        bool      // by the token that ends a text
	PromptTokens int
	Cached       int           // prompt tokens that were known from a text before
	Waited       time.Duration // for its turn
	PromptTime   time.Duration // until the first new token
	Time         time.Duration // for the tokens after it
}

// TokensPerSecond is the rate of the tokens after the first.
func (c Completion) TokensPerSecond() float64 {
	if len(c.Tokens) < 2 || c.Time <= 0 {
		return 0
	}
	return float64(len(c.Tokens)-1) / c.Time.Seconds()
}

// writer is a text that is being written: it chooses tokens from logits until the
// text ends.
type writer struct {
	request Request
	context int
	limit   int // new tokens
	eos     uint32
	hasEOS  bool
	sampler *Sampler
	text    *stopper
	tokens  []uint32 // of the prompt, and the new ones that the network has to see
	done    Completion
	began   time.Time
}

// newWriter begins a text in a context of so many tokens. emit, if it is not nil,
// gets each piece as soon as it is certain. With an error, the completion still
// says how long the prompt is.
func newWriter(tok *tokenizer.Tokenizer, context int, r Request, emit func(string) error) (*writer, error) {
	w := &writer{request: r, context: context, began: time.Now(), done: Completion{PromptTokens: len(r.Tokens), Reason: "length"}}
	if err := r.Sampling.Check(); err != nil {
		return w, err
	}
	if len(r.Tokens) == 0 {
		return w, errors.New("nothing to continue: this model has no token that begins a text, so give it a prompt")
	}
	if len(r.Tokens) > context {
		return w, fmt.Errorf("the prompt has %d tokens, the context %d: shorten it", len(r.Tokens), context)
	}
	w.limit = context - len(r.Tokens) + 1
	if r.Limit != 0 {
		w.limit = max(0, min(w.limit, r.Limit))
	}
	w.eos, w.hasEOS = tok.EOS()
	w.sampler = NewSampler(r.Sampling)
	w.text = &stopper{decoder: tok.NewDecoder(), stop: r.Stop, emit: emit}
	w.tokens = slices.Clone(r.Tokens)
	return w, nil
}

// wants says whether the text needs another token.
func (w *writer) wants() bool { return len(w.done.Tokens) < w.limit }

// next chooses a token from the logits after the last one, which it may change,
// and says whether the text needs more.
func (w *writer) next(logits []float32) (more bool, err error) {
	c := &w.done
	var row []float32 // as the model gives them
	if w.request.LogProbs {
		row = slices.Clone(logits)
	}
	id := w.sampler.Next(w.tokens, logits)
	if len(c.Tokens) == 0 {
		c.PromptTime = time.Since(w.began)
	}
	if w.hasEOS && id == w.eos {
		c.Reason, c.Ended = "stop", true
		return false, nil
	}
	c.Tokens = append(c.Tokens, id)
	if w.request.LogProbs {
		c.LogProbs = append(c.LogProbs, logProb(row, id, w.request.TopLogProbs))
	}
	stopped, err := w.text.next(id)
	if err != nil {
		return false, err
	}
	if stopped {
		c.Reason = "stop"
		return false, nil
	}
	if len(w.tokens) == w.context {
		return false, nil
	}
	w.tokens = append(w.tokens, id)
	return w.wants(), nil
}

// finish gives out what was held back of a text that is whole.
func (w *writer) finish() error { return w.text.finish() }

// result is what was written so far.
func (w *writer) result() Completion {
	w.done.Text = w.text.text()
	w.done.Time = time.Since(w.began) - w.done.PromptTime
	return w.done
}

// logProb is log softmax(logits) of a token and of the likeliest ones.
func logProb(logits []float32, token uint32, top int) LogProb {
	largest := float64(slices.Max(logits))
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v) - largest)
	}
	norm := largest + math.Log(sum)
	out := LogProb{Token: token, LogProb: float64(logits[token]) - norm}
	likeliest := Sampler{Sampling: Sampling{TopK: top}}
	if top > 0 {
		for _, c := range likeliest.likeliest(logits) {
			out.Top = append(out.Top, LogProb{Token: c.id, LogProb: c.logit - norm})
		}
		out.Top = out.Top[:min(top, len(out.Top))]
	}
	return out
}
