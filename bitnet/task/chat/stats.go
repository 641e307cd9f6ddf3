package chat

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// stats are what is known of a source after it was read.
type stats struct {
	samples, turns, heldOut int
	tokens, learned         int64 // of what is trained on
	longest                 int
	cut                     int
	dropped                 map[string]*drops // by the reason
}

// drops are conversations that are left out for one reason.
type drops struct {
	count int
	first string // where the first one is
}

func (s *stats) drop(why, place string) {
	if s.dropped == nil {
		s.dropped = map[string]*drops{}
	}
	if s.dropped[why] == nil {
		s.dropped[why] = &drops{first: place}
	}
	s.dropped[why].count++
}

// add counts a sample that is trained on.
func (s *stats) add(x *sample) {
	s.samples++
	s.turns += x.turns
	s.tokens += int64(len(x.ids))
	s.longest = max(s.longest, len(x.ids))
	for _, l := range x.learned {
		if l {
			s.learned++
		}
	}
}

// why says what was dropped and why, and is "" where nothing was.
func (s *stats) why() string {
	if len(s.dropped) == 0 {
		return ""
	}
	reasons := slices.SortedFunc(maps.Keys(s.dropped), func(a, b string) int {
		return cmp.Or(-cmp.Compare(s.dropped[a].count, s.dropped[b].count), cmp.Compare(a, b))
	})
	total := 0
	var list []string
	for _, r := range reasons {
		d := s.dropped[r]
		total += d.count
		list = append(list, fmt.Sprintf("%d: %s (the first in %s)", d.count, r, d.first))
	}
	return fmt.Sprintf("; dropped %d (%s)", total, strings.Join(list, ", "))
}

// line describes the source in a line.
func (s *source) line() string {
	what := "conversations"
	if s.text {
		what = "pieces of text"
	}
	t := &s.stats
	line := fmt.Sprintf("%s: %d %s", s.part, t.samples+t.heldOut, what)
	if !s.text {
		line += fmt.Sprintf(", %d held out; to train on: %d with %d turns", t.heldOut, t.samples, t.turns)
	}
	line += fmt.Sprintf(", %d tokens, %.1f%% of them with loss, at most %d in one", t.tokens, 100*float64(t.learned)/float64(max(t.tokens, 1)), t.longest)
	if t.cut > 0 {
		line += fmt.Sprintf("; %d cut at a turn to fit --seq-len", t.cut)
	}
	return line + t.why()
}
