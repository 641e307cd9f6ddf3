package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSaveAndLoad(t *testing.T) {
	for name, file := range families(t) {
		t.Run(name, func(t *testing.T) {
			tok, err := parse(file)
			require.NoError(t, err)
			dir := filepath.Join(t.TempDir(), "new", "folder")
			require.NoError(t, tok.Save(dir))
			for _, path := range []string{dir, filepath.Join(dir, "tokenizer.json")} {
				again, err := Load(path)
				require.NoError(t, err)
				require.Equal(t, tok.Hash(), again.Hash())
				require.Equal(t, tok.tokens, again.tokens)
				require.Equal(t, tok.merges, again.merges)
				require.Equal(t, tok.added, again.added)
				require.Equal(t, []uint32{tok.bos, tok.eos, tok.pad}, []uint32{again.bos, again.eos, again.pad})
				require.Equal(t, tok.prefix, again.prefix)
				require.Equal(t, tok.Pre(), again.Pre())
			}
			left, err := filepath.Glob(filepath.Join(dir, ".*"))
			require.NoError(t, err)
			require.Empty(t, left, "temporary files are left")
		})
	}
}

// What Save writes, Hugging Face reads and writes again.
func TestSavesAsHuggingFace(t *testing.T) {
	o := newOracle(t)
	for name, file := range families(t) {
		t.Run(name, func(t *testing.T) {
			o := o.in(t)
			tok, err := parse(file)
			require.NoError(t, err)
			ours, err := tok.MarshalJSON()
			require.NoError(t, err)
			out := filepath.Join(t.TempDir(), "theirs.json")
			o.ask(nil, "save", map[string]any{"tokenizer": o.load(ours), "out": out})
			theirs, err := os.ReadFile(out)
			require.NoError(t, err)
			// They write out a default that the file may leave to them.
			said := edit(t, tok, func(file, _ map[string]any) {
				for _, part := range []string{"pre_tokenizer", "post_processor"} {
					if c, ok := file[part].(map[string]any); ok && c["type"] == "ByteLevel" {
						c["use_regex"] = c["use_regex"] != false
					}
				}
			})
			require.JSONEq(t, string(theirs), string(said))
		})
	}
}

func TestConfigFiles(t *testing.T) {
	tok := trained(t, string(gpt2Form().preTokenizer), 1000, "<pad>", "<s>", "</s>", "<a>", "<b>")
	for _, test := range []struct {
		name  string
		files map[string]string
		want  [3]string // bos, eos, pad
		chat  string
		err   string
	}{
		{"nothing", nil, [3]string{"<s>", "</s>", "<pad>"}, "", ""},
		{"config says all", map[string]string{
			"tokenizer_config.json": `{"bos_token":"<a>","eos_token":{"__type":"AddedToken","content":"<b>","lstrip":false},"pad_token":null,"chat_template":"{{ x }}","model_max_length":1000000000000000019884624838656}`,
		}, [3]string{"<a>", "<b>", ""}, "{{ x }}", ""},
		{"only the map", map[string]string{"special_tokens_map.json": `{"eos_token":"<b>"}`}, [3]string{"<s>", "<b>", "<pad>"}, "", ""},
		{"config before map", map[string]string{
			"special_tokens_map.json": `{"eos_token":"<b>"}`, "tokenizer_config.json": `{"eos_token":"<a>"}`,
		}, [3]string{"", "<a>", ""}, "", ""},
		{"templates by name", map[string]string{
			"tokenizer_config.json": `{"chat_template":[{"name":"tool","template":"t"},{"name":"default","template":"d"}]}`,
		}, [3]string{}, "d", ""},
		{"template file", map[string]string{"chat_template.jinja": "from a file"}, [3]string{"<s>", "</s>", "<pad>"}, "from a file", ""},
		{"unknown token", map[string]string{"tokenizer_config.json": `{"pad_token":"[PAD]"}`}, [3]string{}, "", `tokenizer_config.json: pad_token is "[PAD]", which tokenizer.json does not have`},
		{"other id", map[string]string{"tokenizer_config.json": `{"added_tokens_decoder":{"7":{"content":"<s>"}}}`}, [3]string{}, "", `gives "<s>" the id 7`},
		{"not JSON", map[string]string{"special_tokens_map.json": `{"bos_token"`}, [3]string{}, "", `special_tokens_map.json: not JSON at byte`},
		{"not a token", map[string]string{"tokenizer_config.json": `{"bos_token":7}`}, [3]string{}, "", `tokenizer_config.json: `},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			data, err := tok.MarshalJSON()
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "tokenizer.json"), data, 0o644))
			for name, text := range test.files {
				require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
			}
			got, err := Load(dir)
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				return
			}
			require.NoError(t, err)
			for i, id := range []uint32{got.bos, got.eos, got.pad} {
				name, _ := got.Token(id)
				require.Equal(t, test.want[i], name)
			}
			require.Equal(t, test.chat, got.ChatTemplate())

			again := t.TempDir()
			require.NoError(t, got.Save(again))
			second, err := Load(again)
			require.NoError(t, err)
			require.Equal(t, got.form.chatTemplate, second.form.chatTemplate)
			require.Equal(t, string(got.form.maxLength), string(second.form.maxLength))
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	small, err := Characters("ab ")
	require.NoError(t, err)
	model := func(key string, value string) []byte {
		return edit(t, small, func(_, model map[string]any) { model[key] = rawJSON(value) })
	}
	file := func(key, value string) []byte {
		return edit(t, small, func(file, _ map[string]any) { file[key] = rawJSON(value) })
	}
	split := func(pattern, behavior, invert string) []byte {
		return file("pre_tokenizer", `{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":`+pattern+`,"behavior":"`+behavior+`","invert":`+invert+`},{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]}`)
	}
	template := func(single, specials string) []byte {
		return file("post_processor", `{"type":"TemplateProcessing","single":`+single+`,"pair":[],"special_tokens":`+specials+`}`)
	}
	added := func(entries string) []byte { return file("added_tokens", entries) }
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":             {nil, "not JSON at byte 0"},
		"cut":                 {[]byte(`{"version":"1.0","model":{"type":"BPE"`), "not JSON at byte 38"},
		"not an object":       {[]byte(`[]`), "holds a array at byte 1"},
		"wrong type":          {[]byte(`{"added_tokens":{"a":1}}`), "added_tokens holds a object at byte 17"},
		"huge number":         {added(`[{"id":1e300,"content":"x"}]`), "added_tokens.id holds a number"},
		"version":             {file("version", `"2.0"`), `version "2.0" is not supported`},
		"no model":            {[]byte(`{"version":"1.0"}`), "it has no model"},
		"unigram":             {model("type", `"Unigram"`), `type "Unigram" is not supported`},
		"dropout":             {model("dropout", `0.1`), "dropout makes encoding random"},
		"prefix":              {model("continuing_subword_prefix", `"##"`), `continuing_subword_prefix "##"`},
		"suffix":              {model("end_of_word_suffix", `"</w>"`), `end_of_word_suffix "</w>"`},
		"byte_fallback":       {model("byte_fallback", `true`), "byte_fallback is not supported where the vocabulary lacks a byte (0x00)"},
		"unknown unk":         {model("unk_token", `"<u>"`), `unk_token "<u>" is not in the vocabulary`},
		"no vocab":            {model("vocab", `null`), "it has no vocab"},
		"vocab list":          {model("vocab", `["a"]`), "model.vocab: it is not an object"},
		"gap":                 {model("vocab", `{"a":0,"b":2}`), `token "b" has id 2, but there are only 2 tokens`},
		"same id":             {model("vocab", `{"a":0,"b":0}`), `id 0 belongs to`},
		"same token":          {[]byte(`{"model":{"vocab":{"a":0,"a":1},"merges":[]}}`), `token "a" is listed twice, with ids 0 and 1`},
		"negative id":         {model("vocab", `{"a":-1}`), `the id of "a" is -1`},
		"fraction":            {model("vocab", `{"a":0.5}`), `the id of "a" is 0.5`},
		"huge id":             {model("vocab", `{"a":123456789012345678901234567890}`), `the id of "a" is 1.2345678901234568e+29, which`},
		"text id":             {model("vocab", `{"a":"0"}`), `the id of "a" is 0, which`},
		"nested id":           {model("vocab", `{"a":{"b":1}}`), `the id of "a" is {`},
		"no merges":           {model("merges", `null`), "it has no merges"},
		"unknown left":        {model("merges", `["x a"]`), `model.merges: number 0, "x" with "a", needs the token "x"`},
		"unknown result":      {model("merges", `[["a","b"]]`), `number 0, "a" with "b", needs the token "ab"`},
		"merge of three":      {model("merges", `["a b a"]`), `number 0, "a b a", is not two tokens`},
		"merge of one":        {model("merges", `[["a"]]`), `number 0 has 1 tokens`},
		"merges of numbers":   {model("merges", `[1]`), "model.merges: they are neither"},
		"normalizer":          {file("normalizer", `{"type":"NFC"}`), `normalizer: "NFC" changes the text`},
		"normalizers":         {file("normalizer", `{"type":"Sequence","normalizers":[{"type":"Lowercase"}]}`), `normalizer: "Sequence" changes the text`},
		"no pre_tokenizer":    {file("pre_tokenizer", `null`), "pre_tokenizer: it is missing"},
		"whitespace":          {file("pre_tokenizer", `{"type":"Whitespace"}`), `pre_tokenizer: "Whitespace" is not supported`},
		"no byte level":       {file("pre_tokenizer", `{"type":"Digits","individual_digits":true}`), "it has no ByteLevel"},
		"split after":         {file("pre_tokenizer", `{"type":"Sequence","pretokenizers":[{"type":"ByteLevel"},{"type":"Digits"}]}`), `"Digits" after ByteLevel`},
		"nested":              {file("pre_tokenizer", `{"type":"Sequence","pretokenizers":[{"type":"Sequence"}]}`), `"Sequence" is not supported`},
		"regex":               {split(`{"Regex":"\\w+"}`, "Isolated", "false"), `regular expression "\\w+" is not supported`},
		"string":              {split(`{"String":" "}`, "Isolated", "false"), "fixed string"},
		"behavior":            {split(`{"Regex":"'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"}`, "MergedWithNext", "false"), `behavior "MergedWithNext"`},
		"no decoder":          {file("decoder", `null`), "decoder: it is missing"},
		"decoder":             {file("decoder", `{"type":"Metaspace"}`), `decoder: "Metaspace" is not supported`},
		"post_processor":      {file("post_processor", `{"type":"BertProcessing"}`), `post_processor: "BertProcessing" is not supported`},
		"template without id": {template(`[{"SpecialToken":{"id":"x"}},{"Sequence":{"id":"A"}}]`, `{}`), `single uses "x"`},
		"template id":         {template(`[{"SpecialToken":{"id":"x"}},{"Sequence":{"id":"A"}}]`, `{"x":{"ids":[99]}}`), `"x" has id 99, but there are only 7 tokens`},
		"template of two":     {template(`[{"Sequence":{"id":"A"}},{"Sequence":{"id":"A"}}]`, `{}`), "a sequence other than A"},
		"template of none":    {template(`[]`, `{}`), "leaves the text out"},
		"template piece":      {template(`[{}]`, `{}`), "piece 0 of single"},
		"empty added":         {added(`[{"id":7,"content":""}]`), "added_tokens: number 0, id 7, is empty"},
		"long added":          {added(`[{"id":7,"content":"` + strings.Repeat("x", 5000) + `"}]`), "has 5000 bytes"},
		"added twice":         {added(`[{"id":7,"content":"x"},{"id":7,"content":"x"}]`), `"x" is listed twice`},
		"added with a gap":    {added(`[{"id":9,"content":"x"}]`), `"x" has id 9, but the vocabulary gives it 7`},
		"added over a token":  {added(`[{"id":5,"content":"x"}]`), `"x" has id 5, but the vocabulary gives it 7`},
		"added elsewhere":     {added(`[{"id":7,"content":"a"}]`), `"a" has id 7, but the vocabulary gives it 4`},
		"deep":                {[]byte(`{"model":` + strings.Repeat(`{"a":`, 20_000) + "1" + strings.Repeat("}", 20_001)), "not JSON"},
		"deep normalizer":     {[]byte(strings.Replace(string(file("version", `"1.0"`)), `"normalizer":null`, `"normalizer":`+strings.Repeat(`{"type":"Sequence","normalizers":[`, 4_000)+strings.Repeat("]}", 4_000), 1)), `normalizer: "Sequence"`},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tokenizer.json")
			require.NoError(t, os.WriteFile(path, test.data, 0o644))
			_, err := Load(path)
			require.ErrorContains(t, err, test.want)
			require.ErrorContains(t, err, path)
			require.NotContains(t, err.Error(), "\n")
		})
	}
	_, err = Load(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestLoadKeepsTheLastOfEqualMerges(t *testing.T) {
	tok := trained(t, string(gpt2Form().preTokenizer), 300)
	file := edit(t, tok, func(_, model map[string]any) {
		merges := model["merges"].([]any)
		model["merges"] = append(merges, merges[0])
	})
	got, err := parse(file)
	require.NoError(t, err)
	require.Len(t, got.merges, len(tok.merges))
	require.Equal(t, tok.merges[0], got.merges[len(got.merges)-1])
}

// FuzzLoad: no file makes Load panic, and what it takes, Save writes so that
// Load takes it again.
func FuzzLoad(f *testing.F) {
	small, err := Characters("ab ")
	require.NoError(f, err)
	data, err := small.MarshalJSON()
	require.NoError(f, err)
	f.Add(data)
	for _, seed := range []string{
		`{"model":{"vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]},"decoder":{"type":"ByteLevel"},"pre_tokenizer":{"type":"ByteLevel"}}`,
		`{"model":{"vocab":{"":0,"a":1},"merges":[" a"],"unk_token":"","ignore_merges":true},"decoder":{"type":"ByteLevel"},"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Digits"},{"type":"ByteLevel"}]}}`,
		`{"added_tokens":[{"id":1,"content":" ","lstrip":true,"rstrip":true}],"model":{"vocab":{"a":0},"merges":[]},"decoder":{"type":"ByteLevel"},"pre_tokenizer":{"type":"ByteLevel"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		tok, err := parse(data)
		if err != nil {
			return
		}
		saved, err := tok.MarshalJSON()
		require.NoError(t, err)
		again, err := parse(saved)
		require.NoError(t, err)
		require.Equal(t, tok.Hash(), again.Hash())
		for _, text := range []string{"ab a  b", "é \xff", string(data[:min(len(data), 200)])} {
			ids, err := tok.Encode(text)
			if err != nil {
				continue
			}
			for _, id := range ids {
				require.Less(t, int(id), tok.Size())
			}
			_ = tok.Decode(ids)
		}
	})
}

// FuzzConfig: no tokenizer_config.json makes Load panic.
func FuzzConfig(f *testing.F) {
	small, err := Characters("ab ")
	require.NoError(f, err)
	f.Add([]byte(`{"bos_token":"<s>","eos_token":{"content":"</s>"},"chat_template":[{"name":"default","template":"x"}],"added_tokens_decoder":{"1":{"content":"<s>"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		tok := build(parts{tokens: small.tokens, model: small.model, added: small.added, split: small.split, unk: none, form: small.form})
		if tok.applyConfig(data, true) == nil {
			_, err := json.Marshal(tok.configFile())
			require.NoError(t, err)
		}
	})
}
