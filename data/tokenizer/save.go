package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"bitnet/data/atomicfile"
)

// Save writes tokenizer.json, tokenizer_config.json and
// special_tokens_map.json into dir, which it makes if need be. tokenizer.json
// comes last, so that a folder that has it is complete.
func (t *Tokenizer) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("tokenizer: saving: %w", err)
	}
	special, err := marshal(t.specialsFile())
	if err != nil {
		return fmt.Errorf("tokenizer: saving special_tokens_map.json: %w", err)
	}
	config, err := marshal(t.configFile())
	if err != nil {
		return fmt.Errorf("tokenizer: saving tokenizer_config.json: %w", err)
	}
	tokenizer, err := t.MarshalJSON()
	if err != nil {
		return fmt.Errorf("tokenizer: saving tokenizer.json: %w", err)
	}
	for _, f := range []struct {
		name string
		data []byte
	}{
		{"special_tokens_map.json", special},
		{"tokenizer_config.json", config},
		{"tokenizer.json", tokenizer},
	} {
		if err := atomicfile.Write(filepath.Join(dir, f.name), f.data); err != nil {
			return fmt.Errorf("tokenizer: saving %s: %w", f.name, err)
		}
	}
	return nil
}

// MarshalJSON gives tokenizer.json, laid out as Hugging Face does.
func (t *Tokenizer) MarshalJSON() ([]byte, error) {
	f := struct {
		Version       string          `json:"version"`
		Truncation    json.RawMessage `json:"truncation"`
		Padding       json.RawMessage `json:"padding"`
		AddedTokens   []addedFile     `json:"added_tokens"`
		Normalizer    json.RawMessage `json:"normalizer"`
		PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
		PostProcessor json.RawMessage `json:"post_processor"`
		Decoder       json.RawMessage `json:"decoder"`
		Model         any             `json:"model"`
	}{
		Version:       "1.0",
		AddedTokens:   make([]addedFile, 0, len(t.added)),
		PreTokenizer:  t.form.preTokenizer,
		PostProcessor: t.form.postProcessor,
		Decoder:       t.form.decoder,
	}
	for _, a := range t.added {
		f.AddedTokens = append(f.AddedTokens, addedFile{
			ID: a.id, Content: a.content, SingleWord: a.singleWord,
			LStrip: a.lstrip, RStrip: a.rstrip, Normalized: a.normalized, Special: a.special,
		})
	}
	var unk *string
	if t.unk != none {
		unk = &t.tokens[t.unk]
	}
	vocab, err := marshalVocab(t.tokens[:t.model])
	if err != nil {
		return nil, err
	}
	merges := make([][2]string, len(t.merges))
	for i, m := range t.merges {
		merges[i] = [2]string{t.tokens[m.Left], t.tokens[m.Right]}
	}
	f.Model = struct {
		Type         string          `json:"type"`
		Dropout      *float64        `json:"dropout"`
		UnkToken     *string         `json:"unk_token"`
		Prefix       *string         `json:"continuing_subword_prefix"`
		Suffix       *string         `json:"end_of_word_suffix"`
		FuseUnk      bool            `json:"fuse_unk"`
		ByteFallback bool            `json:"byte_fallback"`
		IgnoreMerges bool            `json:"ignore_merges"`
		Vocab        json.RawMessage `json:"vocab"`
		Merges       [][2]string     `json:"merges"`
	}{Type: "BPE", UnkToken: unk, FuseUnk: t.fuseUnk, IgnoreMerges: t.ignoreMerges, Vocab: vocab, Merges: merges}
	return marshal(f)
}

// marshalVocab keeps the order of the ids, which a map would not.
func marshalVocab(tokens []string) (json.RawMessage, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for id, token := range tokens {
		if id > 0 {
			b.WriteByte(',')
		}
		key, err := marshal(token)
		if err != nil {
			return nil, err
		}
		b.Write(bytes.TrimSpace(key))
		b.WriteByte(':')
		b.WriteString(strconv.Itoa(id))
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// specialsFile is special_tokens_map.json.
func (t *Tokenizer) specialsFile() map[string]any {
	m := map[string]any{}
	for key, id := range map[string]uint32{
		"bos_token": t.bos, "eos_token": t.eos, "pad_token": t.pad, "unk_token": t.firstSpecial("<unk>"),
	} {
		if id != none {
			m[key] = t.tokens[id]
		}
	}
	return m
}

// configFile is tokenizer_config.json.
func (t *Tokenizer) configFile() map[string]any {
	m := t.specialsFile()
	added := map[string]any{}
	for _, a := range t.added {
		added[strconv.Itoa(int(a.id))] = map[string]any{
			"content": a.content, "single_word": a.singleWord, "lstrip": a.lstrip,
			"rstrip": a.rstrip, "normalized": a.normalized, "special": a.special,
		}
	}
	m["added_tokens_decoder"] = added
	m["clean_up_tokenization_spaces"] = false
	m["tokenizer_class"] = "PreTrainedTokenizerFast"
	if !isNull(t.form.maxLength) {
		m["model_max_length"] = t.form.maxLength
	}
	if t.form.chatTemplate != "" {
		m["chat_template"] = t.form.chatTemplate
	}
	return m
}

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
