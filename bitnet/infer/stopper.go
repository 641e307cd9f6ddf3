package infer

import (
	"strings"

	"bitnet/data/tokenizer"
)

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
