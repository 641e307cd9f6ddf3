package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
)

// component is a normalizer, pre_tokenizer, post_processor or decoder of
// tokenizer.json: the fields of every type that we know.
type component struct {
	Type string `json:"type"`

	// Sequence, by what it is a sequence of
	Normalizers   []json.RawMessage `json:"normalizers"`
	PreTokenizers []json.RawMessage `json:"pretokenizers"`
	Processors    []json.RawMessage `json:"processors"`
	Decoders      []json.RawMessage `json:"decoders"`

	// ByteLevel
	AddPrefixSpace *bool `json:"add_prefix_space"`
	UseRegex       *bool `json:"use_regex"`
	// Digits
	IndividualDigits bool `json:"individual_digits"`
	// Split
	Pattern  struct{ Regex, String *string } `json:"pattern"`
	Behavior string                          `json:"behavior"`
	Invert   bool                            `json:"invert"`
	// TemplateProcessing
	Single        []templatePiece            `json:"single"`
	SpecialTokens map[string]templateSpecial `json:"special_tokens"`
}

type templatePiece struct {
	SpecialToken *struct {
		ID string `json:"id"`
	}
	Sequence *struct {
		ID string `json:"id"`
	}
}

type templateSpecial struct {
	IDs []uint32 `json:"ids"`
}

func parseComponent(raw json.RawMessage) (component, error) {
	var c component
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, jsonError(err)
	}
	return c, nil
}

func (c *component) unsupported() error {
	return fmt.Errorf("%q is not supported", short(c.Type))
}

// A pattern is a regular expression that we have a scanner for.
type pattern struct {
	name, pre string
	scan      scanner
}

var (
	gpt2   = pattern{"gpt2", "gpt-2", scanGPT2}
	llama3 = pattern{"llama3", "llama-bpe", scanLlama3}
	qwen2  = pattern{"qwen2", "qwen2", scanQwen2}
)

// patterns lists the spellings that real files use; some mean the same.
var patterns = map[string]pattern{
	`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`:                                          gpt2,
	`'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`:                                             gpt2,
	`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`: llama3,
	`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`:      qwen2,
	`'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+`:       llama3,
	`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+`:  llama3,
}

// parsePreTokenizer gives the scanners of a pre_tokenizer, which must end in
// ByteLevel.
func parsePreTokenizer(raw json.RawMessage) (splitter, form, error) {
	var s splitter
	f := form{preTokenizer: raw}
	if isNull(raw) {
		return s, f, errors.New("it is missing; only byte-level BPE is supported")
	}
	c, err := parseComponent(raw)
	if err != nil {
		return s, f, err
	}
	steps := []json.RawMessage{raw}
	if c.Type == "Sequence" {
		steps = c.PreTokenizers
	}
	byteLevel := false
	for _, step := range steps {
		c, err := parseComponent(step)
		if err != nil {
			return s, f, err
		}
		if byteLevel {
			return s, f, fmt.Errorf("%q after ByteLevel is not supported", short(c.Type))
		}
		var p pattern
		switch c.Type {
		case "ByteLevel":
			byteLevel = true
			s.prefixSpace = c.AddPrefixSpace == nil || *c.AddPrefixSpace
			regex := c.UseRegex == nil || *c.UseRegex
			switch {
			case regex:
				p = gpt2
			case s.prefixSpace || len(s.scanners) == 0:
				p = pattern{"whole", "", scanWhole}
			default:
				continue
			}
		case "Digits":
			p = pattern{"digit-runs", "", scanDigitRuns}
			if c.IndividualDigits {
				p = pattern{"digits", "", scanDigits}
			}
		case "Split":
			if p, err = c.splitPattern(); err != nil {
				return s, f, err
			}
		default:
			return s, f, c.unsupported()
		}
		s.scanners = append(s.scanners, p.scan)
		if f.splitName != "" {
			f.splitName += " "
		}
		f.splitName += p.name
		f.pre = p.pre
	}
	if !byteLevel {
		return s, f, errors.New("it has no ByteLevel; only byte-level BPE is supported")
	}
	if len(s.scanners) > 1 {
		f.pre = ""
		if f.splitName == "digits gpt2" {
			f.pre = "smollm"
		}
	}
	if s.prefixSpace {
		f.pre = ""
	}
	return s, f, nil
}

func (c *component) splitPattern() (pattern, error) {
	if c.Pattern.Regex == nil {
		return pattern{}, errors.New("Split at a fixed string is not supported")
	}
	p, ok := patterns[*c.Pattern.Regex]
	if !ok {
		return p, fmt.Errorf("Split with the regular expression %q is not supported; those of GPT-2, Llama 3, cl100k and Qwen2 are", *c.Pattern.Regex)
	}
	// These patterns match all of a text, so that keeping the matches and
	// removing what lies between them have the same result.
	if c.Behavior == "Isolated" || c.Behavior == "Removed" && c.Invert {
		return p, nil
	}
	return p, fmt.Errorf("Split with behavior %q and invert %v is not supported", short(c.Behavior), c.Invert)
}

func checkNormalizer(raw json.RawMessage) error {
	if isNull(raw) {
		return nil
	}
	c, err := parseComponent(raw)
	if err != nil {
		return err
	}
	if c.Type == "Sequence" && len(c.Normalizers) == 0 {
		return nil
	}
	return fmt.Errorf("%q changes the text and is not supported", short(c.Type))
}

func checkDecoder(raw json.RawMessage) error {
	if isNull(raw) {
		return errors.New("it is missing; ByteLevel is needed")
	}
	c, err := parseComponent(raw)
	if err != nil {
		return err
	}
	if c.Type == "Sequence" && len(c.Decoders) == 1 {
		if c, err = parseComponent(c.Decoders[0]); err != nil {
			return err
		}
	}
	if c.Type != "ByteLevel" {
		return fmt.Errorf("%q is not supported; ByteLevel is", short(c.Type))
	}
	return nil
}

// parseTemplate gives what a post_processor puts before and after a text.
func parseTemplate(raw json.RawMessage, size int) (before, after []uint32, err error) {
	if isNull(raw) {
		return nil, nil, nil
	}
	c, err := parseComponent(raw)
	if err != nil {
		return nil, nil, err
	}
	steps := []json.RawMessage{raw}
	if c.Type == "Sequence" {
		steps = c.Processors
	}
	for _, step := range steps {
		c, err := parseComponent(step)
		if err != nil {
			return nil, nil, err
		}
		switch c.Type {
		case "ByteLevel": // trims offsets, which we do not give
		case "TemplateProcessing":
			b, a, err := c.template(size)
			if err != nil {
				return nil, nil, err
			}
			before, after = append(b, before...), append(after, a...)
		default:
			return nil, nil, c.unsupported()
		}
	}
	return before, after, nil
}

func (c *component) template(size int) (before, after []uint32, err error) {
	texts := 0
	for i, piece := range c.Single {
		switch {
		case piece.Sequence != nil:
			texts++
			if piece.Sequence.ID != "A" || texts > 1 {
				return nil, nil, errors.New("single holds a sequence other than A, or A twice")
			}
		case piece.SpecialToken != nil:
			special, ok := c.SpecialTokens[piece.SpecialToken.ID]
			if !ok {
				return nil, nil, fmt.Errorf("single uses %q, which special_tokens does not have", short(piece.SpecialToken.ID))
			}
			for _, id := range special.IDs {
				if int64(id) >= int64(size) {
					return nil, nil, fmt.Errorf("%q has id %d, but there are only %d tokens", short(piece.SpecialToken.ID), id, size)
				}
			}
			if texts == 0 {
				before = append(before, special.IDs...)
			} else {
				after = append(after, special.IDs...)
			}
		default:
			return nil, nil, fmt.Errorf("piece %d of single is neither a sequence nor a special token", i)
		}
	}
	if texts == 0 {
		return nil, nil, errors.New("single leaves the text out")
	}
	return before, after, nil
}
