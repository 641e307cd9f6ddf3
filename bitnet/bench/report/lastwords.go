package report

import (
	"strings"

	"bitnet/data/printable"
)

// lastWords keeps the end of what a process writes to its standard error: a driver
// that crashes says why there, if at all.
type lastWords struct{ text []byte }

const wordsKept = 2000

func (w *lastWords) Write(p []byte) (int, error) {
	w.text = append(w.text, p...)
	if n := len(w.text) - wordsKept; n > 0 {
		w.text = append(w.text[:0], w.text[n:]...)
	}
	return len(p), nil
}

// String is the line that says most: of a panic its message, otherwise the last one.
func (w *lastWords) String() string {
	lines := strings.Split(strings.TrimSpace(string(w.text)), "\n")
	say := lines[len(lines)-1]
	for _, l := range lines {
		if strings.HasPrefix(l, "panic: ") || strings.HasPrefix(l, "fatal error: ") || strings.HasPrefix(l, "thread ") {
			say = l
			break
		}
	}
	if say = strings.TrimSpace(say); say == "" {
		return ""
	}
	return ": " + printable.String(say)
}
