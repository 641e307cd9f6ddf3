package infer

import (
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

// ChatFormat is how a conversation becomes a text.
type ChatFormat struct {
	Name string
	Stop []string // an answer ends before these
	// before and after a message of a role, and what an answer follows; ROLE
	// stands for the role, Role for it with a capital letter.
	before, after, answer string
}

// chatFormats are the formats of conversations that models are trained on; plain
// is for models that were trained on none and continue a text.
var chatFormats = []ChatFormat{
	{Name: "plain"},
	{Name: "chatml", before: "<|im_start|>ROLE\n", after: "<|im_end|>\n", answer: "<|im_start|>assistant\n", Stop: []string{"<|im_end|>"}},
	{Name: "llama3", before: "<|start_header_id|>ROLE<|end_header_id|>\n\n", after: "<|eot_id|>",
		answer: "<|start_header_id|>assistant<|end_header_id|>\n\n", Stop: []string{"<|eot_id|>"}},
	// The form of microsoft/bitnet-b1.58-2B-4T.
	{Name: "role", before: "Role: ", after: "<|eot_id|>", answer: "Assistant: ", Stop: []string{"<|eot_id|>"}},
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
	if name == "" {
		t := tok.ChatTemplate()
		switch {
		case strings.Contains(t, "<|im_start|>"):
			name = "chatml"
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
	return chatFormats[i], nil
}

// Tokens is a conversation whose next turn is the assistant's. What people
// write never becomes special tokens.
func (f ChatFormat) Tokens(tok *tokenizer.Tokenizer, messages []Message) ([]uint32, error) {
	var ids []uint32
	var err error
	bos, hasBOS := tok.BOS()
	if hasBOS {
		ids = append(ids, bos)
	}
	special := func(text string) {
		if err == nil {
			ids, err = tok.Append(ids, text)
		}
	}
	ordinary := func(text string) {
		if err == nil {
			ids, err = tok.AppendOrdinary(ids, text)
		}
	}
	if f.Name == "plain" {
		for i, m := range messages {
			ordinary(m.Content)
			if i == len(messages)-1 {
				break
			}
			if eos, ok := tok.EOS(); ok && m.Ended {
				ids = append(ids, eos)
				if hasBOS {
					ids = append(ids, bos)
				}
			}
		}
		return ids, err
	}
	for _, m := range messages {
		role := m.Role
		special(strings.NewReplacer("ROLE", role, "Role", strings.ToUpper(role[:min(1, len(role))])+role[min(1, len(role)):]).Replace(f.before))
		ordinary(strings.TrimSpace(m.Content))
		special(f.after)
	}
	special(f.answer)
	return ids, err
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
