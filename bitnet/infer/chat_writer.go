package infer

import (
	"regexp"
	"strings"

	"bitnet/data/tokenizer"
)

// begin starts a conversation.
func (f ChatFormat) begin(tok *tokenizer.Tokenizer) *chatWriter {
	w := &chatWriter{tok: tok}
	if bos, ok := tok.BOS(); ok && f.bos {
		w.ids = append(w.ids, bos)
	}
	return w
}

// chatWriter puts a conversation together. Ordinary text that meets becomes
// tokens in one piece, as in programs that render a template and then find the
// special tokens in it.
type chatWriter struct {
	tok  *tokenizer.Tokenizer
	ids  []uint32
	held strings.Builder // ordinary text that is no tokens yet
	err  error           // the first
}

// chatToken is a special token in a format's text.
var chatToken = regexp.MustCompile(`<\|[a-z_]+\|>`)

// form adds text of the format, whose special tokens count as such.
func (w *chatWriter) form(text, role string) {
	capital := strings.ToUpper(role[:min(1, len(role))]) + role[min(1, len(role)):]
	at := 0
	ordinary := func(part string) { w.text(strings.NewReplacer("ROLE", role, "Role", capital).Replace(part)) }
	for _, m := range chatToken.FindAllStringIndex(text, -1) {
		ordinary(text[at:m[0]])
		w.flush()
		w.add(w.tok.Append, text[m[0]:m[1]])
		at = m[1]
	}
	ordinary(text[at:])
}

// text adds ordinary text.
func (w *chatWriter) text(s string) { w.held.WriteString(s) }

func (w *chatWriter) flush() {
	w.add(w.tok.AppendOrdinary, w.held.String())
	w.held.Reset()
}

func (w *chatWriter) add(as func([]uint32, string) ([]uint32, error), text string) {
	if w.err == nil {
		w.ids, w.err = as(w.ids, text)
	}
}
