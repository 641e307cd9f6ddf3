package chat

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"strings"

	"bitnet/bitnet/infer"
)

// conversation is a record, whatever its form was.
type conversation struct {
	messages []infer.Message
	mute     []bool // by message: the assistant said it, but it is not to be learned
	kind     string // what kind of question it is, for the examination; "" if it does not say
}

// teaches reports whether message i is learned.
func (c *conversation) teaches(i int) bool { return !c.mute[i] }

// key is a hash of what people say. Conversations with the same questions have
// the same key, so that a held-out question is never trained on.
func (c *conversation) key() uint64 {
	h := sha256.New()
	for _, m := range c.messages {
		if m.Role != "assistant" {
			h.Write([]byte(m.Content))
			h.Write([]byte{0})
		}
	}
	return binary.BigEndian.Uint64(h.Sum(nil))
}

// columns are the fields of a record that are read.
var columns = []string{"messages", "conversations", "instruction", "input", "output", "system", "kind"}

// record is a conversation in one of three forms: messages (OpenAI, Hugging
// Face), conversations (ShareGPT), or instruction, input and output (Alpaca).
type record struct {
	Messages      []message `json:"messages"`
	Conversations []message `json:"conversations"`
	Instruction   *string   `json:"instruction"`
	Input         string    `json:"input"`
	Output        *string   `json:"output"`
	System        string    `json:"system"`
	Kind          string    `json:"kind"`
}

// message is a turn, by OpenAI's names or ShareGPT's.
type message struct {
	Role      string          `json:"role"`
	From      string          `json:"from"`
	Content   json.RawMessage `json:"content"`
	Value     json.RawMessage `json:"value"`
	Weight    *float64        `json:"weight"` // 0: not learned (OpenAI)
	ToolCalls json.RawMessage `json:"tool_calls"`
}

// roles are the names that people give to the three roles.
var roles = map[string]string{
	"system": "system", "developer": "system",
	"user": "user", "human": "user",
	"assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "model": "assistant", "bot": "assistant",
}

// parse reads a record. why says in a few words why it cannot be learned from,
// and is "" if it can.
func parse(text []byte) (c *conversation, why string) {
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, "fields of another form"
	}
	c = &conversation{kind: r.Kind}
	list := r.Messages
	if list == nil {
		list = r.Conversations
	}
	switch {
	case list != nil:
		if r.System != "" && len(list) > 0 && list[0].name() != "system" {
			c.add("system", r.System, false)
		}
		for i := range list {
			if why := c.addMessage(&list[i]); why != "" {
				return nil, why
			}
		}
	case r.Instruction != nil && r.Output != nil:
		if r.System != "" {
			c.add("system", r.System, false)
		}
		question := strings.TrimSpace(*r.Instruction)
		if input := strings.TrimSpace(r.Input); input != "" {
			question += "\n\n" + input
		}
		c.add("user", question, false)
		c.add("assistant", *r.Output, false)
	default:
		return nil, "no messages, conversations, or instruction and output"
	}
	return c, c.settle()
}

// settle cuts off what follows the last answer, and says what is wrong.
func (c *conversation) settle() (why string) {
	end, asked := 0, false
	for i, m := range c.messages {
		switch {
		case m.Role == "user":
			asked = true
		case m.Role == "assistant" && !asked:
			return "it begins with an answer"
		case m.Role == "assistant" && m.Content == "":
			return "an answer is empty"
		case m.Role == "assistant" && !c.mute[i]:
			end = i + 1
		}
	}
	if end == 0 {
		return "no answer to learn"
	}
	c.messages, c.mute = c.messages[:end], c.mute[:end]
	return ""
}

func (m *message) name() string {
	name := m.Role
	if name == "" {
		name = m.From
	}
	return roles[strings.ToLower(strings.TrimSpace(name))]
}

func (c *conversation) addMessage(m *message) (why string) {
	role := m.name()
	if role == "" {
		return "a role other than system, user and assistant"
	}
	if len(m.ToolCalls) > 0 && string(m.ToolCalls) != "null" && string(m.ToolCalls) != "[]" {
		return "calls of tools"
	}
	raw := m.Content
	if raw == nil {
		raw = m.Value
	}
	text, ok := content(raw)
	if !ok {
		return "content that is not text"
	}
	c.add(role, text, m.Weight != nil && *m.Weight == 0)
	return ""
}

// add appends a message. White space around it is nothing that a model is to
// learn, or that a person types.
func (c *conversation) add(role, text string, mute bool) {
	c.messages = append(c.messages, infer.Message{Role: role, Content: strings.TrimSpace(text)})
	c.mute = append(c.mute, mute)
}

// content is the text of a message: a string, or OpenAI's list of parts.
func content(raw json.RawMessage) (text string, ok bool) {
	if len(raw) == 0 || string(raw) == "null" {
		return "", false
	}
	if json.Unmarshal(raw, &text) == nil {
		return text, true
	}
	var parts []struct{ Type, Text string }
	if json.Unmarshal(raw, &parts) != nil {
		return "", false
	}
	for _, p := range parts {
		if p.Type != "text" {
			return "", false
		}
		text += p.Text
	}
	return text, true
}
