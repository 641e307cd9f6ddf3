package tokenizer

import "encoding/json"

// form keeps the parts of a tokenizer's files that encoding does not need but
// that Save writes again.
type form struct {
	splitName     string // how text is split, in our words, for the hash
	pre           string // and in llama.cpp's
	preTokenizer  json.RawMessage
	decoder       json.RawMessage
	postProcessor json.RawMessage
	chatTemplate  string
	maxLength     json.RawMessage // model_max_length, which may be 1e30
}

// gpt2Form is that of the tokenizers that this package trains.
func gpt2Form() form {
	return form{
		splitName:    "gpt2",
		pre:          "gpt-2",
		preTokenizer: json.RawMessage(`{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}`),
		decoder:      json.RawMessage(`{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true}`),
	}
}
