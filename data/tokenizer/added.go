package tokenizer

// addedToken is an entry of added_tokens: a text that is matched whole, before
// anything else is split.
type addedToken struct {
	id         uint32
	content    string
	singleWord bool // only where no word character touches it
	lstrip     bool // takes the white space before it along
	rstrip     bool // and after it
	normalized bool // looked for after those that are not
	special    bool
}

// matcher finds added tokens: leftmost first, longest among those.
type matcher struct {
	nodes  []trieNode
	first  [256]bool // bytes that a token begins with
	tokens []addedToken
}

type trieNode struct {
	edges []trieEdge
	token int32 // index in tokens, or -1
}

type trieEdge struct {
	b    byte
	node int32
}

func newMatcher(added []addedToken, normalized bool) matcher {
	m := matcher{nodes: []trieNode{{token: -1}}}
	for _, a := range added {
		if a.normalized != normalized || a.content == "" {
			continue
		}
		m.first[a.content[0]] = true
		at := int32(0)
		for i := range len(a.content) {
			next := m.step(at, a.content[i])
			if next < 0 {
				next = int32(len(m.nodes))
				m.nodes = append(m.nodes, trieNode{token: -1})
				m.nodes[at].edges = append(m.nodes[at].edges, trieEdge{a.content[i], next})
			}
			at = next
		}
		m.nodes[at].token = int32(len(m.tokens))
		m.tokens = append(m.tokens, a)
	}
	return m
}

func (m *matcher) step(node int32, b byte) int32 {
	for _, e := range m.nodes[node].edges {
		if e.b == b {
			return e.node
		}
	}
	return -1
}

// next gives the first match in s at or after from.
func (m *matcher) next(s string, from int) (start, end int, token *addedToken) {
	for i := from; i < len(s); i++ {
		if !m.first[s[i]] {
			continue
		}
		at, found := int32(0), int32(-1)
		for j := i; j < len(s); j++ {
			if at = m.step(at, s[j]); at < 0 {
				break
			}
			if m.nodes[at].token >= 0 {
				found, end = m.nodes[at].token, j+1
			}
		}
		if found >= 0 {
			return i, end, &m.tokens[found]
		}
	}
	return len(s), len(s), nil
}

// cut splits s into added tokens and the text between them, in order, as
// Hugging Face does. It calls text with where in s that part begins.
func (m *matcher) cut(s string, skipSpecial bool, text func(part string, at int) error, token func(id uint32)) error {
	if len(m.tokens) == 0 {
		return text(s, 0)
	}
	done := 0
	for from := 0; ; {
		start, end, a := m.next(s, from)
		if a == nil {
			break
		}
		from = end
		if skipSpecial && a.special {
			continue
		}
		if a.singleWord && (start > 0 && isWord(classBefore(s, start)) || end < len(s) && isWord(classAt(s, end))) {
			continue
		}
		if a.lstrip {
			for start > done {
				c, width := classBefore(s, start)
				if c&space == 0 {
					break
				}
				start -= width
			}
		}
		if a.rstrip {
			end = skip(s, end, space)
		}
		if done < start {
			if err := text(s[done:start], done); err != nil {
				return err
			}
		}
		token(a.id)
		done = end
	}
	if done < len(s) {
		return text(s[done:], done)
	}
	return nil
}

func isWord(c class, _ int) bool { return c&word != 0 }
