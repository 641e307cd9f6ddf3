package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strconv"

	"bitnet/bitnet/infer"
)

// request is what the two calls have in common. Fields that OpenAI's API does
// not have either are ignored, as its servers do; those that it has and this
// server cannot honour are refused by name.
type request struct {
	Model               string             `json:"model"`
	Prompt              json.RawMessage    `json:"prompt"`
	Messages            []message          `json:"messages"`
	Truncation          string             `json:"truncation"`
	MaxTokens           *int               `json:"max_tokens"`
	MaxCompletionTokens *int               `json:"max_completion_tokens"`
	Temperature         *float64           `json:"temperature"`
	TopP                *float64           `json:"top_p"`
	TopK                *int               `json:"top_k"`
	MinP                *float64           `json:"min_p"`
	RepetitionPenalty   *float64           `json:"repetition_penalty"`
	FrequencyPenalty    *float64           `json:"frequency_penalty"`
	PresencePenalty     *float64           `json:"presence_penalty"`
	LogitBias           map[string]float64 `json:"logit_bias"`
	LogProbs            json.RawMessage    `json:"logprobs"`
	TopLogProbs         *int               `json:"top_logprobs"`
	Echo                bool               `json:"echo"`
	Seed                *int64             `json:"seed"`
	Stop                json.RawMessage    `json:"stop"`
	N                   *int               `json:"n"`
	BestOf              *int               `json:"best_of"`
	Stream              bool               `json:"stream"`
	StreamOptions       struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`

	Suffix         *string         `json:"suffix"`
	Tools          []any           `json:"tools"`
	ToolChoice     json.RawMessage `json:"tool_choice"`
	Functions      []any           `json:"functions"`
	ResponseFormat *struct {
		Type string `json:"type"`
	} `json:"response_format"`
	Modalities []string `json:"modalities"`
}

type message struct {
	Role      string          `json:"role"`
	Content   json.RawMessage `json:"content"`
	ToolCalls []any           `json:"tool_calls"`
}

// text is a string, or the text parts of a list.
func (m message) text() (string, error) {
	var s string
	if json.Unmarshal(m.Content, &s) == nil {
		return s, nil
	}
	var parts []struct{ Type, Text string }
	if err := json.Unmarshal(m.Content, &parts); err != nil {
		return "", errors.New("a message's content must be text")
	}
	for _, p := range parts {
		if p.Type != "text" {
			return "", fmt.Errorf("this model reads text, not %.40q", p.Type)
		}
		s += p.Text
	}
	return s, nil
}

// unsupported names a field that would change the answer and cannot be
// honoured, or is "".
func (q *request) unsupported(chat bool) string {
	switch {
	case q.N != nil && (*q.N < 1 || *q.N > mostTexts):
		return fmt.Sprintf("n: want 1 to %d answers", mostTexts)
	case q.BestOf != nil && *q.BestOf != q.copies():
		return "best_of: all answers are given, none is chosen: use n"
	case q.Truncation != "" && q.Truncation != "auto" && q.Truncation != "disabled":
		return "truncation: want auto (leave out the oldest messages that do not fit the context) or disabled"
	case q.Suffix != nil && *q.Suffix != "":
		return "suffix: the model continues a text, it does not fill gaps"
	case len(q.Tools) > 0 || len(q.Functions) > 0:
		return "tools: the model calls none"
	case len(q.ToolChoice) > 0 && string(q.ToolChoice) != `"none"` && string(q.ToolChoice) != `"auto"` && string(q.ToolChoice) != "null":
		return "tool_choice: the model calls no tools"
	case q.ResponseFormat != nil && q.ResponseFormat.Type != "" && q.ResponseFormat.Type != "text":
		return "response_format: the answer is plain text"
	case chat && q.Echo:
		return "echo: only /v1/completions repeats the prompt"
	case q.Echo && q.Stream && q.wantsLogProbs():
		return "echo: log-probabilities of the prompt are not streamed: leave out stream"
	}
	for _, m := range q.Modalities {
		if m != "text" {
			return "modalities: the answer is text"
		}
	}
	for _, m := range q.Messages {
		if len(m.ToolCalls) > 0 {
			return "tool_calls: the model calls no tools"
		}
	}
	return ""
}

// copies is how many answers a prompt gets.
func (q *request) copies() int {
	if q.N == nil {
		return 1
	}
	return *q.N
}

// wantsLogProbs says whether logprobs is there.
func (q *request) wantsLogProbs() bool { return len(q.LogProbs) > 0 && string(q.LogProbs) != "null" }

// settings are what a request says about every text that it asks for.
func (s *Server) settings(q *request, chat bool) (infer.Request, error) {
	out := infer.Request{Limit: s.limits.MaxTokens, Sampling: infer.Sampling{Temperature: 1, TopP: 1, RepetitionPenalty: 1, Seed: mathrand.Uint64()}}
	if what := q.unsupported(chat); what != "" {
		return out, errors.New(what)
	}
	for _, f := range []struct {
		from *float64
		to   *float64
	}{
		{q.Temperature, &out.Sampling.Temperature}, {q.TopP, &out.Sampling.TopP}, {q.MinP, &out.Sampling.MinP},
		{q.RepetitionPenalty, &out.Sampling.RepetitionPenalty}, {q.FrequencyPenalty, &out.Sampling.FrequencyPenalty},
		{q.PresencePenalty, &out.Sampling.PresencePenalty},
	} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if q.TopK != nil {
		out.Sampling.TopK = max(*q.TopK, 0)
	}
	if q.Seed != nil {
		out.Sampling.Seed = uint64(*q.Seed)
	}
	if len(q.LogitBias) > 0 {
		out.Sampling.Bias = map[uint32]float64{}
		for key, b := range q.LogitBias {
			id, err := strconv.ParseUint(key, 10, 32)
			if err != nil || id >= uint64(s.model.Config.VocabSize) {
				return out, fmt.Errorf("logit_bias: there is no token %.40q: the model has 0 to %d", key, s.model.Config.VocabSize-1)
			}
			out.Sampling.Bias[uint32(id)] = b
		}
	}
	if err := out.Sampling.Check(); err != nil {
		return out, err
	}
	for _, n := range []*int{q.MaxTokens, q.MaxCompletionTokens} {
		if n != nil {
			least, none := 1, ""
			if q.Echo {
				least, none = 0, ", or 0 with echo"
			}
			if *n < least {
				return out, fmt.Errorf("max_tokens of %d: want 1 or more%s", *n, none)
			}
			if out.Limit = min(*n, s.limits.MaxTokens); *n == 0 {
				out.Limit = -1
			}
		}
	}
	if err := q.logProbs(chat, &out); err != nil {
		return out, err
	}
	var err error
	if out.Stop, err = stopStrings(q.Stop); err != nil {
		return out, err
	}
	if chat {
		out.Stop = append(out.Stop, s.format.Stop...)
	}
	return out, nil
}

// logProbs reads logprobs, a number for a completion and a switch for a chat.
func (q *request) logProbs(chat bool, out *infer.Request) error {
	if !q.wantsLogProbs() {
		if q.TopLogProbs != nil && *q.TopLogProbs > 0 {
			return errors.New("top_logprobs needs logprobs: true")
		}
		return nil
	}
	if chat {
		if err := json.Unmarshal(q.LogProbs, &out.LogProbs); err != nil {
			return errors.New("logprobs must be true or false")
		}
		if q.TopLogProbs != nil {
			out.TopLogProbs = *q.TopLogProbs
		}
		if out.TopLogProbs < 0 || out.TopLogProbs > 20 || out.TopLogProbs > 0 && !out.LogProbs {
			return errors.New("top_logprobs must be 0 to 20, and needs logprobs: true")
		}
		return nil
	}
	if err := json.Unmarshal(q.LogProbs, &out.TopLogProbs); err != nil || out.TopLogProbs < 0 || out.TopLogProbs > 5 {
		return errors.New("logprobs must be 0 to 5")
	}
	out.LogProbs = true
	return nil
}

// mostTexts is how many texts a request may ask for.
const mostTexts = 64

// prompt is one text to continue: as text, or as token ids.
type prompt struct {
	text string
	ids  []uint32 // nil for a text
}

// isText says whether the prompts are texts, not token ids.
func (q *request) isText() bool {
	var one string
	var many []string
	return json.Unmarshal(q.Prompt, &one) == nil || json.Unmarshal(q.Prompt, &many) == nil
}

// prompts are the texts of a completion: a string, token ids, or a list of
// either.
func (q *request) prompts() ([]prompt, error) {
	var text string
	if json.Unmarshal(q.Prompt, &text) == nil {
		return []prompt{{text: text}}, nil
	}
	var ids []uint32
	if json.Unmarshal(q.Prompt, &ids) == nil && len(ids) > 0 {
		return []prompt{{ids: ids}}, nil
	}
	var texts []string
	var many [][]uint32
	var out []prompt
	switch {
	case json.Unmarshal(q.Prompt, &texts) == nil:
		for _, t := range texts {
			out = append(out, prompt{text: t})
		}
	case json.Unmarshal(q.Prompt, &many) == nil:
		for _, ids := range many {
			out = append(out, prompt{ids: ids})
		}
	default:
		return nil, errors.New("prompt must be a string, a list of token ids, or a list of either")
	}
	if len(out) == 0 || len(out) > mostTexts {
		return nil, fmt.Errorf("prompt must hold 1 to %d texts", mostTexts)
	}
	if n := len(out) * q.copies(); n > mostTexts {
		return nil, fmt.Errorf("n: %d prompts with %d answers each are %d texts: want at most %d", len(out), q.copies(), n, mostTexts)
	}
	return out, nil
}

// tokens are the ids of a prompt. A text that cannot fit the context is refused
// before it is split into tokens.
func (s *Server) tokens(p prompt) ([]uint32, error) {
	if p.ids != nil {
		for _, id := range p.ids {
			if int64(id) >= int64(s.model.Config.VocabSize) {
				return nil, fmt.Errorf("there is no token %d: the model has 0 to %d", id, s.model.Config.VocabSize-1)
			}
		}
		return p.ids, s.fits(len(p.ids))
	}
	if err := s.fitsText(len(p.text)); err != nil {
		return nil, err
	}
	ids, err := s.model.Prompt(p.text)
	if err != nil {
		return nil, err
	}
	return ids, s.fits(len(ids))
}

// chatTokens are the ids of a conversation. If the request allows it, the oldest
// messages that do not fit are left out, and dropped is how many.
func (s *Server) chatTokens(q *request, limit int) (ids []uint32, dropped int, err error) {
	messages := q.Messages
	if len(messages) == 0 {
		return nil, 0, errors.New("messages must hold at least one message")
	}
	var talk []infer.Message
	size := 0
	for _, m := range messages {
		switch m.Role {
		case "system", "user", "assistant":
		case "developer":
			m.Role = "system"
		default:
			return nil, 0, fmt.Errorf("a message's role is %.40q: it must be system, user or assistant", m.Role)
		}
		text, err := m.text()
		if err != nil {
			return nil, 0, err
		}
		size += len(text)
		talk = append(talk, infer.Message{Role: m.Role, Content: text})
	}
	if q.Truncation == "auto" {
		room := min(limit, s.context/4)
		ids, left, err := s.format.Fit(s.model.Tokenizer, s.newest(talk), s.context, room)
		return ids, len(talk) - len(left), err
	}
	if err := s.fitsText(size); err != nil {
		return nil, 0, err
	}
	ids, err = s.format.Tokens(s.model.Tokenizer, talk)
	if err != nil {
		return nil, 0, err
	}
	return ids, 0, s.fits(len(ids))
}

// newest are the messages of a conversation that can fit by their size, with the
// system's: each of the others would be split into tokens for nothing, again and
// again.
func (s *Server) newest(talk []infer.Message) []infer.Message {
	room := s.context * s.longest
	first := len(talk) - 1
	for room -= len(talk[first].Content); first > 0 && room >= len(talk[first-1].Content); first-- {
		room -= len(talk[first-1].Content)
	}
	if talk[0].Role == "system" && first > 0 {
		return append([]infer.Message{talk[0]}, talk[max(first, 1):]...)
	}
	return talk[first:]
}

// tooLong is the error of a prompt that is longer than the context.
type tooLong struct{ error }

func (s *Server) fits(tokens int) error {
	if tokens > s.context {
		return tooLong{fmt.Errorf("the prompt has %d tokens, the context %d", tokens, s.context)}
	}
	return nil
}

// fitsText refuses a text that cannot fit: no token stands for more bytes than
// the longest one.
func (s *Server) fitsText(bytes int) error {
	if most := s.context * s.longest; bytes > most {
		return tooLong{fmt.Errorf("the prompt has %d bytes, and a context of %d tokens holds at most %d", bytes, s.context, most)}
	}
	return nil
}

func stopStrings(raw json.RawMessage) ([]string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}, nil
	}
	var many []string
	if err := json.Unmarshal(raw, &many); err != nil || len(many) > 16 {
		return nil, errors.New("stop must be a string or at most 16 of them")
	}
	return many, nil
}
