package chat

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"bitnet/data/corpus"
)

// part is one source of a mixture.
type part struct {
	name   string // as corpus.Open reads it
	text   bool   // plain text, all of which is learned
	weight float64
}

// String is the part as data.source names it.
func (p part) String() string {
	s := p.name
	if p.text {
		s = textPrefix + s
	}
	if p.weight != 1 {
		s += fmt.Sprintf("*%g", p.weight)
	}
	return s
}

const (
	prefix     = "chat:"
	textPrefix = "text:"
	mostWeight = 1000
)

// parts reads the argument of data.source: sources with commas between, each the
// name of a file, a folder or hub:ORG/NAME, after text: if it is plain text, and
// before *WEIGHT if an epoch has it more or less often than once.
func parts(argument string) ([]part, error) {
	var list []part
	conversations := false
	for _, s := range strings.Split(argument, ",") {
		p := part{name: strings.TrimPrefix(strings.TrimSpace(s), prefix), weight: 1}
		if rest, ok := strings.CutPrefix(p.name, textPrefix); ok {
			p.name, p.text = rest, true
		}
		if at := strings.LastIndexByte(p.name, '*'); at >= 0 {
			w, err := strconv.ParseFloat(p.name[at+1:], 64)
			if err != nil || !(w > 0 && w <= mostWeight) || math.IsInf(w, 0) {
				return nil, fmt.Errorf("%s: the weight after * must be a number above 0, up to %d", s, mostWeight)
			}
			p.name, p.weight = p.name[:at], w
		}
		if p.name == "" {
			return nil, fmt.Errorf("%q in the list of data names nothing: give a file, a folder or hub:ORG/NAME", s)
		}
		conversations = conversations || !p.text
		list = append(list, p)
	}
	if !conversations {
		return nil, errors.New("a mixture for chat needs conversations, not only text: add a file of them, or train with --exp text")
	}
	return list, nil
}

// check reports an argument that names nothing, without the network.
func check(argument string) error {
	list, err := parts(argument)
	if err != nil {
		return err
	}
	for _, p := range list {
		if err := corpus.CheckName(p.name); err != nil {
			return err
		}
	}
	return nil
}
