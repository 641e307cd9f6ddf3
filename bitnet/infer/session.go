package infer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"bitnet/data/tokenizer"
)

// Session writes texts one after another with an opened model. What a text
// has in common with the one before it is not computed again.
type Session struct {
	gen    *Generator
	tok    *tokenizer.Tokenizer
	tokens []uint32 // that the generator holds
	feed   [1]uint32
}

// NewSession makes room for texts of at most context tokens; 0 takes what the
// model allows, up to 4096.
func (m *Model) NewSession(context int) (*Session, error) {
	if context == 0 {
		context = min(m.Config.MaxPositions, 4096)
	}
	gen, err := NewGenerator(m.Model, 1, context)
	if err != nil {
		return nil, err
	}
	return &Session{gen: gen, tok: m.Tokenizer}, nil
}

// Release frees the session's buffers.
func (s *Session) Release() { s.gen.Release() }

// Context is the most tokens that a text can have.
func (s *Session) Context() int { return s.gen.Context() }

// Request is a text to continue.
type Request struct {
	Tokens   []uint32
	Limit    int // new tokens at most; 0 for as many as the context allows
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
	LogProbs     []LogProb // of Tokens, if they were asked for
	Tokens       []uint32  // the new ones, without the token that ended the text
	Reason       string    // "stop": an end token or a stop string; "length": the limit or the context
	Ended        bool      // by the token that ends a text
	PromptTokens int
	Cached       int           // prompt tokens that were known from the text before
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

// Complete continues a text; emit, if it is not nil, gets each piece as soon as
// it is certain. When ctx ends, what was written so far is returned with ctx's
// error.
func (s *Session) Complete(ctx context.Context, r Request, emit func(string) error) (Completion, error) {
	c := Completion{PromptTokens: len(r.Tokens), Reason: "length"}
	if err := r.Sampling.Check(); err != nil {
		return c, err
	}
	if len(r.Tokens) == 0 {
		return c, errors.New("nothing to continue: this model has no token that begins a text, so give it a prompt")
	}
	if len(r.Tokens) > s.gen.Context() {
		return c, fmt.Errorf("the prompt has %d tokens, the context %d: shorten it", len(r.Tokens), s.gen.Context())
	}
	known := 0
	for known < len(r.Tokens)-1 && known < len(s.tokens) && s.tokens[known] == r.Tokens[known] {
		known++
	}
	c.Cached = known
	s.gen.Truncate(0, known)
	s.tokens = append(s.tokens[:known], r.Tokens[known:]...)
	limit := s.gen.Context() - len(r.Tokens) + 1
	if r.Limit > 0 {
		limit = min(limit, r.Limit)
	}
	eos, hasEOS := s.tok.EOS()
	sampler := NewSampler(r.Sampling)
	text := &stopper{decoder: s.tok.NewDecoder(), stop: r.Stop, emit: emit}
	feed := s.tokens[known:]
	began := time.Now()
	for len(c.Tokens) < limit {
		logits, err := s.gen.Feed(ctx, [][]uint32{feed})
		if err != nil {
			s.tokens = s.tokens[:s.gen.Len(0)]
			c.Text = text.text()
			return c, err
		}
		var row []float32 // as the model gives them
		if r.LogProbs {
			row = slices.Clone(logits[0])
		}
		next := sampler.Next(s.tokens, logits[0])
		if len(c.Tokens) == 0 {
			c.PromptTime = time.Since(began)
		}
		if hasEOS && next == eos {
			c.Reason, c.Ended = "stop", true
			break
		}
		c.Tokens = append(c.Tokens, next)
		if r.LogProbs {
			c.LogProbs = append(c.LogProbs, logProb(row, next, r.TopLogProbs))
		}
		stopped, err := text.next(next)
		if err != nil {
			return c, err
		}
		if stopped {
			c.Reason = "stop"
			break
		}
		if err := ctx.Err(); err != nil {
			c.Text = text.text()
			return c, err
		}
		if len(s.tokens) == s.gen.Context() {
			break
		}
		s.tokens = append(s.tokens, next)
		s.feed[0] = next
		feed = s.feed[:]
	}
	c.Time = time.Since(began) - c.PromptTime
	s.tokens = s.tokens[:s.gen.Len(0)]
	err := text.finish()
	c.Text = text.text()
	return c, err
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

// stopper turns tokens into text, and holds back what may be the beginning of
// a stop string.
type stopper struct {
	decoder *tokenizer.Decoder
	stop    []string
	emit    func(string) error
	all     strings.Builder // what was given out
	held    string
	stopped bool
}

func (s *stopper) next(id uint32) (stopped bool, err error) {
	s.held += s.decoder.Next(id)
	first := -1
	for _, stop := range s.stop {
		if at := strings.Index(s.held, stop); stop != "" && at >= 0 && (first < 0 || at < first) {
			first = at
		}
	}
	if first >= 0 {
		s.stopped = true
		err := s.give(s.held[:first])
		s.held = ""
		return true, err
	}
	keep := 0
	for _, stop := range s.stop {
		for n := min(len(stop)-1, len(s.held)); n > keep; n-- {
			if strings.HasSuffix(s.held, stop[:n]) {
				keep = n
			}
		}
	}
	out := s.held[:len(s.held)-keep]
	s.held = s.held[len(out):]
	return false, s.give(out)
}

// finish gives out what was held back.
func (s *stopper) finish() error {
	if s.stopped {
		return nil
	}
	out := s.held + s.decoder.Flush()
	s.held = ""
	return s.give(out)
}

func (s *stopper) give(text string) error {
	if text == "" {
		return nil
	}
	s.all.WriteString(text)
	if s.emit != nil {
		return s.emit(text)
	}
	return nil
}

func (s *stopper) text() string { return s.all.String() }
