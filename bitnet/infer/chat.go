package infer

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"bitnet/data/tokenizer"
)

// Message is a turn of a conversation.
type Message struct {
	Role    string `json:"role"` // system, user or assistant
	Content string `json:"content"`
	// Ended says that an assistant's message ended with the token that ends a
	// text, so that in the plain format the next turn begins a new text.
	Ended bool `json:"-"`
}

// ChatFormat is how a conversation becomes a text: the one place that training,
// bitnet chat and the server take it from. Jinja gives the same form to other
// programs.
type ChatFormat struct {
	Name string
	Stop []string // an answer ends before these
	// before and after a message of a role, and what an answer follows; ROLE
	// stands for the role, Role for it with a capital letter.
	before, after, answer string
	trim                  bool // messages lose the white space around them
	bos                   bool // a conversation begins with the token that begins a text
}

// chatFormats are the formats of conversations that models are trained on; plain
// is for models that were trained on none and continue a text.
var chatFormats = []ChatFormat{
	{Name: "plain"},
	{Name: ChatML, before: "<|im_start|>ROLE\n", after: ChatMLEnd + "\n", answer: "<|im_start|>assistant\n", Stop: []string{ChatMLEnd}},
	{Name: "llama3", before: "<|start_header_id|>ROLE<|end_header_id|>\n\n", after: "<|eot_id|>",
		answer: "<|start_header_id|>assistant<|end_header_id|>\n\n", Stop: []string{"<|eot_id|>"}, trim: true},
	// The form of microsoft/bitnet-b1.58-2B-4T.
	{Name: "role", before: "Role: ", after: "<|eot_id|>", answer: "Assistant: ", Stop: []string{"<|eot_id|>"}, trim: true},
}

// ChatML is the name of the format that chat training gives to a model without a
// chat template (OpenAI, 2023), and its special tokens.
const (
	ChatML      = "chatml"
	ChatMLStart = "<|im_start|>"
	ChatMLEnd   = "<|im_end|>" // ends a message
)

// ChatMLTemplate is ChatML as Jinja, the chat_template of tokenizer_config.json
// and of GGUF files. With bos a conversation begins with the token that begins a
// text.
func ChatMLTemplate(bos bool) string {
	begin := ""
	if bos {
		begin = "{{ bos_token }}"
	}
	return begin + "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}" +
		"{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
}

// ChatMLForOllama is ChatML as the TEMPLATE of a Modelfile, where bos is the token
// that begins a text, or "": Ollama does not read Jinja, and the template that it
// takes for ChatML has no such token.
func ChatMLForOllama(bos string) string {
	return bos + "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
}

// ChatFormats lists their names.
func ChatFormats() []string {
	var names []string
	for _, f := range chatFormats {
		names = append(names, f.Name)
	}
	return names
}

// FindChatFormat is the format of a name; "" finds out what a tokenizer's chat
// template is like, and takes plain where there is none.
func FindChatFormat(name string, tok *tokenizer.Tokenizer) (ChatFormat, error) {
	t := tok.ChatTemplate()
	if name == "" {
		switch {
		case strings.Contains(t, ChatMLStart):
			name = ChatML
		case strings.Contains(t, "<|start_header_id|>"):
			name = "llama3"
		case strings.Contains(t, "<|eot_id|>") && strings.Contains(t, "capitalize"):
			name = "role"
		default:
			name = "plain"
		}
	}
	i := slices.IndexFunc(chatFormats, func(f ChatFormat) bool { return f.Name == name })
	if i < 0 {
		return ChatFormat{}, fmt.Errorf("there is no chat format %q: choose %s", name, strings.Join(ChatFormats(), ", "))
	}
	f := chatFormats[i]
	_, hasBOS := tok.BOS()
	f.bos = hasBOS && (t == "" || name == "plain" || strings.Contains(t, "bos_token"))
	return f, nil
}

// Tokens is a conversation whose next turn is the assistant's: the ids that
// transformers gets from the format's Jinja. What people write never becomes
// special tokens.
func (f ChatFormat) Tokens(tok *tokenizer.Tokenizer, messages []Message) ([]uint32, error) {
	w := f.begin(tok)
	if f.Name == "plain" {
		bos, _ := tok.BOS()
		for i, m := range messages {
			w.text(m.Content)
			if i == len(messages)-1 {
				break
			}
			if eos, ok := tok.EOS(); ok && m.Ended {
				w.flush()
				w.ids = append(w.ids, eos)
				if f.bos {
					w.ids = append(w.ids, bos)
				}
			}
		}
		w.flush()
		return w.ids, w.err
	}
	for _, m := range messages {
		w.form(f.before, m.Role)
		w.text(f.content(m))
		w.form(f.after, m.Role)
	}
	w.form(f.answer, "assistant")
	w.flush()
	return w.ids, w.err
}

// Lesson is a conversation to learn from.
type Lesson struct {
	IDs []uint32
	// Learned says which of IDs the model is to write: what the assistant says
	// and the token that ends it.
	Learned []bool
	// Ends has the length of the conversation up to the end of each of the
	// assistant's messages.
	Ends []int
}

// Lesson is a whole conversation. Of the assistant's messages those that
// teaches reports are learned.
func (f ChatFormat) Lesson(tok *tokenizer.Tokenizer, messages []Message, teaches func(i int) bool) (Lesson, error) {
	if f.Name == "plain" {
		return Lesson{}, errors.New("the plain chat format has no turns to learn")
	}
	w := f.begin(tok)
	var l Lesson
	for i, m := range messages {
		w.form(f.before, m.Role)
		if m.Role != "assistant" {
			w.text(f.content(m))
			w.form(f.after, m.Role)
			continue
		}
		w.flush() // what a model is given before it answers
		first := len(w.ids)
		w.text(f.content(m))
		end := f.Stop[0]
		w.form(end, m.Role)
		w.flush()
		l.Learned = append(l.Learned, make([]bool, len(w.ids)-len(l.Learned))...)
		for at := first; at < len(w.ids) && teaches(i); at++ {
			l.Learned[at] = true
		}
		l.Ends = append(l.Ends, len(w.ids))
		w.form(strings.TrimPrefix(f.after, end), m.Role)
	}
	w.flush()
	l.IDs = w.ids
	l.Learned = append(l.Learned, make([]bool, len(l.IDs)-len(l.Learned))...)
	return l, w.err
}

func (f ChatFormat) content(m Message) string {
	if f.trim {
		return strings.TrimSpace(m.Content)
	}
	return m.Content
}

// Fit drops the oldest messages, but for a system's, until the conversation
// leaves room for an answer of room tokens in a context, and gives its tokens.
func (f ChatFormat) Fit(tok *tokenizer.Tokenizer, messages []Message, context, room int) ([]uint32, []Message, error) {
	messages = slices.Clone(messages)
	for {
		ids, err := f.Tokens(tok, messages)
		if err != nil || len(ids)+room <= context {
			return ids, messages, err
		}
		oldest := 0
		if messages[0].Role == "system" {
			oldest = 1
		}
		if oldest >= len(messages)-1 {
			if len(ids) <= context {
				return ids, messages, nil
			}
			return nil, nil, fmt.Errorf("the message has %d tokens, the context %d: shorten it", len(ids), context)
		}
		messages = slices.Delete(messages, oldest, oldest+1)
	}
}
