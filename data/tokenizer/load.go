package tokenizer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"bitnet/data/plainfile"
	"bitnet/data/printable"
)

// maxFile bounds what Load reads; the largest real files are near 30 MB.
const maxFile = 256 << 20

// maxAdded bounds added tokens, because looking for them takes time in
// proportion to the longest.
const maxAdded = 4096

// Load reads a tokenizer.json, or the one in the folder path. The files
// tokenizer_config.json and special_tokens_map.json next to it, if they exist,
// say which tokens begin and end a text and fill up rows. Load fails, naming the
// file and the place, where a file is damaged or asks for something that this
// package does not do exactly as Hugging Face does.
func Load(path string) (*Tokenizer, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, "tokenizer.json")
	}
	data, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("tokenizer: there is no file %s (%w); give a tokenizer.json or a folder that holds one", printable.String(path), err)
	}
	if err != nil {
		return nil, fmt.Errorf("tokenizer: reading %s: %w", printable.String(path), err)
	}
	t, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", printable.String(path), err)
	}
	if err := t.readConfig(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return t, nil
}

func readFile(path string) ([]byte, error) { return plainfile.Read(path, maxFile) }

// tokenizerFile is tokenizer.json.
type tokenizerFile struct {
	Version       string          `json:"version"`
	Truncation    json.RawMessage `json:"truncation"`
	Padding       json.RawMessage `json:"padding"`
	AddedTokens   []addedFile     `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
	Model         *modelFile      `json:"model"`
}

type addedFile struct {
	ID         uint32 `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

type modelFile struct {
	Type         string          `json:"type"`
	Dropout      *float64        `json:"dropout"`
	UnkToken     *string         `json:"unk_token"`
	Prefix       *string         `json:"continuing_subword_prefix"`
	Suffix       *string         `json:"end_of_word_suffix"`
	FuseUnk      bool            `json:"fuse_unk"`
	ByteFallback bool            `json:"byte_fallback"`
	IgnoreMerges bool            `json:"ignore_merges"`
	Vocab        json.RawMessage `json:"vocab"`
	Merges       json.RawMessage `json:"merges"`
}

// parse reads the contents of a tokenizer.json.
func parse(data []byte) (*Tokenizer, error) {
	var f tokenizerFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, jsonError(err)
	}
	if f.Version != "" && f.Version != "1.0" {
		return nil, fmt.Errorf("version %q is not supported; only 1.0 is", f.Version)
	}
	m := f.Model
	if m == nil {
		return nil, errors.New("it has no model; is it a tokenizer.json?")
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if err := checkNormalizer(f.Normalizer); err != nil {
		return nil, fmt.Errorf("normalizer: %w", err)
	}
	tokens, err := parseVocab(m.Vocab)
	if err != nil {
		return nil, fmt.Errorf("model.vocab: %w", err)
	}
	p := parts{
		tokens: tokens, model: len(tokens),
		unk: none, fuseUnk: m.FuseUnk, ignoreMerges: m.IgnoreMerges,
	}
	ids := make(map[string]uint32, len(tokens))
	for id, token := range tokens {
		ids[token] = uint32(id)
	}
	if p.merges, err = parseMerges(m.Merges, ids); err != nil {
		return nil, fmt.Errorf("model.merges: %w", err)
	}
	if p.split, p.form, err = parsePreTokenizer(f.PreTokenizer); err != nil {
		return nil, fmt.Errorf("pre_tokenizer: %w", err)
	}
	if err := checkDecoder(f.Decoder); err != nil {
		return nil, fmt.Errorf("decoder: %w", err)
	}
	p.form.decoder, p.form.postProcessor = f.Decoder, f.PostProcessor
	if err := p.unknown(m, ids); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if err := p.addTokens(f.AddedTokens, ids); err != nil {
		return nil, fmt.Errorf("added_tokens: %w", err)
	}
	t := build(p)
	if t.prefix, t.suffix, err = parseTemplate(f.PostProcessor, t.Size()); err != nil {
		return nil, fmt.Errorf("post_processor: %w", err)
	}
	t.nameSpecials()
	return t, nil
}

// jsonError says where in a file its JSON is wrong.
func jsonError(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("not JSON at byte %d; fetch the file again", syntax.Offset)
	case errors.As(err, &kind):
		return fmt.Errorf("%s holds a %s at byte %d, where something else belongs; fetch the file again", kind.Field, kind.Value, kind.Offset)
	}
	return errors.New("not JSON; fetch the file again")
}

func (m *modelFile) check() error {
	switch {
	case m.Type != "BPE" && m.Type != "":
		return fmt.Errorf("type %q is not supported; only byte-level BPE is", m.Type)
	case m.Dropout != nil && *m.Dropout != 0:
		return errors.New("dropout makes encoding random, which is not supported; set it to null")
	case m.Prefix != nil && *m.Prefix != "":
		return fmt.Errorf("continuing_subword_prefix %q is not byte-level BPE and not supported", *m.Prefix)
	case m.Suffix != nil && *m.Suffix != "":
		return fmt.Errorf("end_of_word_suffix %q is not byte-level BPE and not supported", *m.Suffix)
	case isNull(m.Vocab):
		return errors.New("it has no vocab")
	case isNull(m.Merges):
		return errors.New("it has no merges")
	}
	return nil
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// parseVocab gives the tokens by id; the ids must be 0, 1, 2 ... without a gap.
func parseVocab(raw json.RawMessage) ([]string, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("it is not an object from token to id")
	}
	ids := map[string]uint32{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		value, err := dec.Token()
		if err != nil {
			return nil, err
		}
		token, _ := key.(string)
		number, _ := value.(json.Number)
		id, err := strconv.ParseUint(number.String(), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("the id of %q is %v, which is not a whole number from 0 to 4294967295", short(token), short(fmt.Sprint(value)))
		}
		if other, ok := ids[token]; ok {
			return nil, fmt.Errorf("token %q is listed twice, with ids %d and %d", short(token), other, id)
		}
		ids[token] = uint32(id)
	}
	tokens := make([]string, len(ids))
	taken := make([]bool, len(ids))
	for token, id := range ids {
		if int64(id) >= int64(len(ids)) {
			return nil, fmt.Errorf("token %q has id %d, but there are only %d tokens: ids with gaps are not supported", short(token), id, len(ids))
		}
		if taken[id] {
			return nil, fmt.Errorf("id %d belongs to %q and to %q", id, short(tokens[id]), short(token))
		}
		tokens[id], taken[id] = token, true
	}
	return tokens, nil
}

// parseMerges reads merges in either form, "a b" or ["a", "b"].
func parseMerges(raw json.RawMessage, ids map[string]uint32) ([]Merge, error) {
	pairs, err := mergePairs(raw)
	if err != nil {
		return nil, err
	}
	merges := make([]Merge, 0, len(pairs))
	for i, p := range pairs {
		var found [3]uint32
		for j, token := range [3]string{p[0], p[1], p[0] + p[1]} {
			var ok bool
			if found[j], ok = ids[token]; !ok {
				return nil, fmt.Errorf("number %d, %q with %q, needs the token %q, which is not in the vocabulary", i, short(p[0]), short(p[1]), short(token))
			}
		}
		merges = append(merges, Merge{found[0], found[1], found[2]})
	}
	return lastOfEqual(merges), nil
}

func mergePairs(raw json.RawMessage) ([][2]string, error) {
	var lines []string
	if err := json.Unmarshal(raw, &lines); err == nil {
		pairs := make([][2]string, 0, len(lines))
		for i, line := range lines {
			if strings.HasPrefix(line, "#version") {
				continue
			}
			left, right, ok := strings.Cut(line, " ")
			if !ok || strings.Contains(right, " ") {
				return nil, fmt.Errorf("number %d, %q, is not two tokens separated by a space", i, short(line))
			}
			pairs = append(pairs, [2]string{left, right})
		}
		return pairs, nil
	}
	var arrays [][]string
	if err := json.Unmarshal(raw, &arrays); err != nil {
		return nil, errors.New("they are neither a list of \"a b\" nor of [\"a\", \"b\"]")
	}
	pairs := make([][2]string, len(arrays))
	for i, a := range arrays {
		if len(a) != 2 {
			return nil, fmt.Errorf("number %d has %d tokens instead of two", i, len(a))
		}
		pairs[i] = [2]string{a[0], a[1]}
	}
	return pairs, nil
}

// unknown finds the token of an unknown byte. A file whose vocabulary holds all
// bytes never needs one.
func (p *parts) unknown(m *modelFile, ids map[string]uint32) error {
	missing := -1
	for b, c := range symbolOfByte {
		if _, ok := ids[string(c)]; !ok {
			missing = b
			break
		}
	}
	if missing < 0 {
		return nil
	}
	if m.ByteFallback {
		return fmt.Errorf("byte_fallback is not supported where the vocabulary lacks a byte (0x%02X)", missing)
	}
	if m.UnkToken == nil {
		return nil
	}
	id, ok := ids[*m.UnkToken]
	if !ok {
		return fmt.Errorf("unk_token %q is not in the vocabulary", short(*m.UnkToken))
	}
	p.unk = id
	return nil
}

// addTokens checks that the added tokens have the ids that Hugging Face would
// give them: that in the vocabulary, or the next free one.
func (p *parts) addTokens(added []addedFile, ids map[string]uint32) error {
	seen := make(map[uint32]bool, len(added))
	for i, a := range added {
		if a.Content == "" {
			return fmt.Errorf("number %d, id %d, is empty", i, a.ID)
		}
		if len(a.Content) > maxAdded {
			return fmt.Errorf("%q has %d bytes; no added token may have more than %d", short(a.Content), len(a.Content), maxAdded)
		}
		id, ok := ids[a.Content]
		if !ok {
			id = uint32(len(p.tokens))
			p.tokens = append(p.tokens, a.Content)
			ids[a.Content] = id
		}
		if id != a.ID {
			return fmt.Errorf("%q has id %d, but the vocabulary gives it %d", short(a.Content), a.ID, id)
		}
		if seen[id] {
			return fmt.Errorf("%q is listed twice", short(a.Content))
		}
		seen[id] = true
		p.added = append(p.added, addedToken{
			id: id, content: a.Content, singleWord: a.SingleWord,
			lstrip: a.LStrip, rstrip: a.RStrip, normalized: a.Normalized, special: a.Special,
		})
	}
	slices.SortFunc(p.added, func(a, b addedToken) int { return cmp.Compare(a.id, b.id) })
	return nil
}

// short keeps an error message to one readable line.
func short(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
