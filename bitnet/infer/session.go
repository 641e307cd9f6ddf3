package infer

import (
	"context"

	"bitnet/data/tokenizer"
)

// Session writes texts one after another with an opened model. What a text
// has in common with the one before it is not computed again.
type Session struct {
	gen    *Generator
	tok    *tokenizer.Tokenizer
	tokens []uint32 // that the generator holds
}

// NewSession makes room for texts of at most context tokens; 0 takes what the
// model allows, up to 4096.
func (m *Model) NewSession(context int) (*Session, error) {
	if context == 0 {
		context = min(m.Config.MaxPositions, 4096)
	}
	gen, err := newGenerator(m.Model, 1, context)
	if err != nil {
		return nil, err
	}
	return &Session{gen: gen, tok: m.Tokenizer}, nil
}

// Release frees the session's buffers.
func (s *Session) Release() { s.gen.Release() }

// Context is the most tokens that a text can have.
func (s *Session) Context() int { return s.gen.Context() }

// Complete continues a text; emit, if it is not nil, gets each piece as soon as
// it is certain. When ctx ends, what was written so far is returned with ctx's
// error.
func (s *Session) Complete(ctx context.Context, r Request, emit func(string) error) (Completion, error) {
	w, err := newWriter(s.tok, s.gen.Context(), r, emit)
	if err != nil {
		return w.done, err
	}
	known := shared(s.tokens, r.Tokens)
	w.done.Cached = known
	s.gen.Truncate(0, known)
	feed := r.Tokens[known:]
	for more := w.wants(); more; {
		logits, err := s.gen.Feed(ctx, [][]uint32{feed})
		s.tokens = append(s.tokens[:0], w.tokens[:s.gen.Len(0)]...)
		if err != nil {
			return w.result(), err
		}
		if more, err = w.next(logits[0]); err != nil {
			return w.result(), err
		}
		if err := ctx.Err(); err != nil && more {
			return w.result(), err
		}
		feed = w.tokens[len(w.tokens)-1:]
	}
	err = w.finish()
	return w.result(), err
}

// shared is how many of a text's tokens are known from another, all but its last
// at most: the logits after that are needed.
func shared(known, text []uint32) int {
	n := 0
	for n < len(text)-1 && n < len(known) && known[n] == text[n] {
		n++
	}
	return n
}
