package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"bitnet/data/atomicfile"
	"bitnet/data/tokenizer"
)

// ReadGGUF makes a model folder of transformers, in its packed form, of a GGUF
// file that Export wrote: weights, scales and tokens are the file's own. The
// folder is new; an error leaves none. A GGUF file does not say which activation
// its model has, so one that was written with Options.Force computes differently.
func ReadGGUF(path, dir string) (err error) {
	w, vocab, err := readGGUF(path)
	if err != nil {
		return err
	}
	f, err := atomicfile.NewFolder(dir)
	if err != nil {
		return fmt.Errorf("making the folder %s: %w", dir, err)
	}
	defer f.Discard()
	tok, err := vocab.tokenizer(f.Dir)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	e := &exporter{Options: Options{Note: func(string) {}}, weights: w, tok: tok}
	e.config.Config = w.Config
	if err := e.writeHF(f.Dir, true); err != nil {
		return fmt.Errorf("writing %s: %w", dir, err)
	}
	if err := f.Place(); err != nil {
		return fmt.Errorf("placing %s: %w", dir, err)
	}
	return nil
}

// preTokenizers are the forms of tokenizer.json by llama.cpp's names.
var preTokenizers = map[string]string{
	"gpt-2":     `{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}`,
	"llama-bpe": splitBy(`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`),
	"qwen2":     splitBy(`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`),
}

// splitBy is the pre-tokenizer that splits text by a regular expression, whose
// backslashes are doubled as JSON wants them.
func splitBy(regex string) string {
	return `{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"` + regex + `"},"behavior":"Isolated","invert":false},` +
		`{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]}`
}

// tokenizer makes the tokenizer that a GGUF file describes, by way of its files
// in a folder.
func (v *ggufVocab) tokenizer(dir string) (*tokenizer.Tokenizer, error) {
	pre, ok := preTokenizers[v.pre]
	if !ok {
		return nil, fmt.Errorf("tokenizer.ggml.pre is %.40q: only gpt-2, llama-bpe and qwen2 are read", v.pre)
	}
	if len(v.kinds) != len(v.tokens) {
		return nil, fmt.Errorf("it has %d tokens, but types of %d", len(v.tokens), len(v.kinds))
	}
	size := len(v.tokens) // rows of the embedding without a token come last
	for size > 0 && v.kinds[size-1] == unusedKind {
		size--
	}
	text, err := v.tokenizerJSON(size, pre)
	if err != nil {
		return nil, err
	}
	config := map[string]any{"tokenizer_class": "PreTrainedTokenizerFast"}
	for name, id := range map[string]*uint32{"bos_token": v.bos, "eos_token": v.eos, "pad_token": v.pad} {
		if id == nil {
			continue
		}
		if int(*id) >= size {
			return nil, fmt.Errorf("its %s is %d of %d tokens", strings.ReplaceAll(name, "_", " "), *id, size)
		}
		config[name] = v.tokens[*id]
	}
	if v.template != "" {
		config["chat_template"] = v.template
	}
	settings, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	for name, content := range map[string][]byte{"tokenizer.json": text, "tokenizer_config.json": settings} {
		if err := atomicfile.Write(filepath.Join(dir, name), content); err != nil {
			return nil, err
		}
	}
	tok, err := tokenizer.Load(dir)
	if err != nil {
		return nil, errors.New(strings.ReplaceAll(err.Error(), dir+string(os.PathSeparator), "its "))
	}
	return tok, nil
}

// tokenizerJSON is tokenizer.json for the first size tokens.
func (v *ggufVocab) tokenizerJSON(size int, pre string) ([]byte, error) {
	vocab := make(map[string]int, size)
	added := []map[string]any{}
	for id, token := range v.tokens[:size] {
		if _, twice := vocab[token]; twice {
			return nil, fmt.Errorf("the token %.40q is there twice", token)
		}
		vocab[token] = id
		if kind := v.kinds[id]; kind == int32(tokenizer.Control) || kind == int32(tokenizer.UserDefined) {
			added = append(added, map[string]any{"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": kind == int32(tokenizer.Control)})
		}
	}
	merges := make([][]string, 0, len(v.merges))
	for _, m := range v.merges {
		left, right, ok := strings.Cut(m, " ")
		if !ok {
			return nil, fmt.Errorf("the merge %.40q is not a pair of tokens", m)
		}
		merges = append(merges, []string{left, right})
	}
	return json.Marshal(map[string]any{
		"version": "1.0", "added_tokens": added, "pre_tokenizer": json.RawMessage(pre), "post_processor": v.postProcessor(),
		"decoder": map[string]any{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
		"model":   map[string]any{"type": "BPE", "vocab": vocab, "merges": merges, "ignore_merges": v.pre == "llama-bpe"},
	})
}

// postProcessor puts the tokens that begin and end a text around it, where the
// file asks for that.
func (v *ggufVocab) postProcessor() any {
	pieces := []any{}
	special := map[string]any{}
	add := func(id *uint32, wanted bool) {
		if !wanted || id == nil || int(*id) >= len(v.tokens) {
			return
		}
		name := v.tokens[*id]
		pieces = append(pieces, map[string]any{"SpecialToken": map[string]any{"id": name, "type_id": 0}})
		special[name] = map[string]any{"id": name, "ids": []uint32{*id}, "tokens": []string{name}}
	}
	add(v.bos, v.addBOS)
	pieces = append(pieces, map[string]any{"Sequence": map[string]any{"id": "A", "type_id": 0}})
	add(v.eos, v.addEOS)
	if len(pieces) == 1 {
		return nil
	}
	return map[string]any{"type": "TemplateProcessing", "single": pieces, "pair": []any{}, "special_tokens": special}
}
