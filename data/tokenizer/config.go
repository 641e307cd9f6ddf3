package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"

	"bitnet/data/printable"
)

// configFile is tokenizer_config.json, and special_tokens_map.json, which has
// some of its fields.
type configFile struct {
	BOS          *namedToken           `json:"bos_token"`
	EOS          *namedToken           `json:"eos_token"`
	Pad          *namedToken           `json:"pad_token"`
	ChatTemplate json.RawMessage       `json:"chat_template"`
	MaxLength    json.RawMessage       `json:"model_max_length"`
	Added        map[string]namedToken `json:"added_tokens_decoder"`
}

// namedToken is a token by its text, or an object with its text as content.
type namedToken string

func (n *namedToken) UnmarshalJSON(raw []byte) error {
	var s string
	if err := json.Unmarshal(raw, &s); err == nil {
		*n = namedToken(s)
		return nil
	}
	var o struct {
		Content string `json:"content"`
	}
	if err := json.Unmarshal(raw, &o); err != nil {
		return err
	}
	*n = namedToken(o.Content)
	return nil
}

// readConfig takes from the files next to tokenizer.json what it does not say.
// Where a file is missing, what nameSpecials guessed stays.
func (t *Tokenizer) readConfig(dir string) error {
	// The map comes first: transformers follows the configuration.
	for _, name := range []string{"special_tokens_map.json", "tokenizer_config.json"} {
		path := filepath.Join(dir, name)
		data, err := readFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", printable.String(path), err)
		}
		if err := t.applyConfig(data, name == "tokenizer_config.json"); err != nil {
			return fmt.Errorf("%s: %w", printable.String(path), err)
		}
	}
	path := filepath.Join(dir, "chat_template.jinja")
	switch data, err := readFile(path); {
	case err == nil:
		t.form.chatTemplate = string(data)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("reading %s: %w", printable.String(path), err)
	}
	return nil
}

func (t *Tokenizer) applyConfig(data []byte, complete bool) error {
	var c configFile
	if err := json.Unmarshal(data, &c); err != nil {
		return jsonError(err)
	}
	for _, role := range []struct {
		key   string
		named *namedToken
		id    *uint32
	}{{"bos_token", c.BOS, &t.bos}, {"eos_token", c.EOS, &t.eos}, {"pad_token", c.Pad, &t.pad}} {
		if role.named == nil {
			if complete {
				*role.id = none
			}
			continue
		}
		id, ok := t.ids[string(*role.named)]
		if !ok {
			return fmt.Errorf("%s is %q, which tokenizer.json does not have; add it there or remove it here", role.key, short(string(*role.named)))
		}
		*role.id = id
	}
	for key, token := range c.Added {
		id, err := strconv.ParseUint(key, 10, 32)
		if have, ok := t.ids[string(token)]; err != nil || !ok || uint64(have) != id {
			return fmt.Errorf("added_tokens_decoder gives %q the id %s, which tokenizer.json does not; take both files from the same place", short(string(token)), short(key))
		}
	}
	if template, ok := chatTemplate(c.ChatTemplate); ok {
		t.form.chatTemplate = template
	}
	if !isNull(c.MaxLength) {
		t.form.maxLength = c.MaxLength
	}
	return nil
}

// chatTemplate reads a template, or the one named "default" of several.
func chatTemplate(raw json.RawMessage) (string, bool) {
	var one string
	if json.Unmarshal(raw, &one) == nil && one != "" {
		return one, true
	}
	var named []struct{ Name, Template string }
	if json.Unmarshal(raw, &named) == nil {
		for _, n := range named {
			if n.Name == "default" {
				return n.Template, true
			}
		}
	}
	return "", false
}
