package tokenizer

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

var trainedBefore sync.Map

// trained makes a tokenizer of the Go tree with the given pre_tokenizer.
func trained(t testing.TB, preTokenizer string, vocab int, specials ...string) *Tokenizer {
	t.Helper()
	key := fmt.Sprint(preTokenizer, vocab, specials)
	if tok, ok := trainedBefore.Load(key); ok {
		return tok.(*Tokenizer)
	}
	split, f, err := parsePreTokenizer(json.RawMessage(preTokenizer))
	require.NoError(t, err)
	f.decoder = gpt2Form().decoder
	tok, err := train(context.Background(), slices.Values(corpus(t, 2<<20)), TrainOptions{VocabSize: vocab, Specials: specials}, split, f)
	require.NoError(t, err)
	trainedBefore.Store(key, tok)
	return tok
}

// edit changes a tokenizer.json.
func edit(t testing.TB, tok *Tokenizer, change func(file, model map[string]any)) []byte {
	t.Helper()
	data, err := tok.MarshalJSON()
	require.NoError(t, err)
	var file map[string]any
	require.NoError(t, json.Unmarshal(data, &file))
	change(file, file["model"].(map[string]any))
	data, err = json.Marshal(file)
	require.NoError(t, err)
	return data
}

func rawJSON(s string) any {
	var v any
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		panic(err)
	}
	return v
}

func addToken(file map[string]any, id int, content string, flags ...string) {
	token := map[string]any{
		"id": id, "content": content, "single_word": false, "lstrip": false,
		"rstrip": false, "normalized": false, "special": false,
	}
	for _, f := range flags {
		token[f] = true
	}
	added, _ := file["added_tokens"].([]any)
	file["added_tokens"] = append(added, token)
}

// families are files in the forms that people's tokenizers have.
func families(t testing.TB) map[string][]byte {
	gpt2 := trained(t, string(gpt2Form().preTokenizer), 3000, "<pad>", "<s>", "</s>")
	llama3 := trained(t, llama3PreTokenizer, 4000)
	smolLM := trained(t, smolLMPreTokenizer, 2500, "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>")
	characters, err := Characters("0123456789 abcdefghijklmnopqrstuvwxyz+=\n<>/|")
	require.NoError(t, err)
	nothing := func(file, model map[string]any) {}
	return map[string][]byte{
		"ours": edit(t, gpt2, nothing),
		"gpt2": edit(t, gpt2, func(file, model map[string]any) {
			file["added_tokens"] = nil
			addToken(file, 3000, "<|endoftext|>", "special", "normalized")
			model["unk_token"], model["continuing_subword_prefix"], model["end_of_word_suffix"] = "", "", ""
			file["pre_tokenizer"] = rawJSON(`{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true}`)
			file["post_processor"] = rawJSON(`{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":false}`)
			var legacy []string
			for _, m := range model["merges"].([]any) {
				legacy = append(legacy, m.([]any)[0].(string)+" "+m.([]any)[1].(string))
			}
			model["merges"] = legacy
		}),
		"roberta-like": edit(t, gpt2, func(file, model map[string]any) {
			file["pre_tokenizer"] = rawJSON(`{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true}`)
			addToken(file, 3000, "<mask>", "special", "lstrip")
		}),
		"llama3": edit(t, llama3, func(file, model map[string]any) {
			for i, s := range []string{"<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"} {
				addToken(file, 4000+i, s, "special")
			}
			model["ignore_merges"] = true
			file["post_processor"] = rawJSON(`{"type":"Sequence","processors":[{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":false,"use_regex":true},
				{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<|begin_of_text|>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
				"pair":[{"SpecialToken":{"id":"<|begin_of_text|>","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"<|begin_of_text|>","type_id":1}},{"Sequence":{"id":"B","type_id":1}}],
				"special_tokens":{"<|begin_of_text|>":{"id":"<|begin_of_text|>","ids":[4000],"tokens":["<|begin_of_text|>"]}}}]}`)
		}),
		// ignore_merges shows only where a token cannot be reached by merging.
		"ignore_merges": edit(t, llama3, func(file, model map[string]any) {
			model["ignore_merges"] = true
			merges := model["merges"].([]any)
			model["merges"] = slices.DeleteFunc(merges, func(m any) bool { return len(m.([]any)[1].(string)) == 2 })
		}),
		"qwen2": edit(t, llama3, func(file, model map[string]any) {
			file["pre_tokenizer"] = rawJSON(strings.Replace(llama3PreTokenizer, `\\p{N}{1,3}`, `\\p{N}`, 1))
		}),
		"cl100k": edit(t, llama3, func(file, model map[string]any) {
			file["pre_tokenizer"] = rawJSON(`{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"},"behavior":"Removed","invert":true},{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]}`)
		}),
		"gpt2 as split": edit(t, gpt2, func(file, model map[string]any) {
			file["pre_tokenizer"] = rawJSON(`{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"},"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]}`)
		}),
		"smollm": edit(t, smolLM, nothing),
		"digit runs with prefix": edit(t, smolLM, func(file, model map[string]any) {
			file["pre_tokenizer"] = rawJSON(`{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":false},{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true}]}`)
		}),
		"whole": edit(t, gpt2, func(file, model map[string]any) {
			file["pre_tokenizer"] = rawJSON(`{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":false}`)
		}),
		"added tokens": edit(t, gpt2, func(file, model map[string]any) {
			vocab := model["vocab"].(map[string]any)
			next := len(vocab)
			for _, a := range []struct {
				content string
				flags   []string
			}{
				{"the", []string{"single_word"}}, {"<l>", []string{"lstrip"}}, {"<r>", []string{"rstrip"}},
				{"<lr>", []string{"lstrip", "rstrip", "normalized"}}, {" ", []string{"normalized"}}, {"\n\n", nil},
				{"<<", nil}, {"<<<", []string{"normalized"}}, {"日本", []string{"single_word", "special"}},
				{"    ", []string{"normalized"}}, {"return", []string{"single_word", "lstrip", "rstrip"}},
				{"\tx", nil}, {"<s", nil},
			} {
				id, ok := vocab[a.content].(float64)
				if !ok {
					id = float64(next)
					next++
				}
				addToken(file, int(id), a.content, a.flags...)
			}
		}),
		"unknown": edit(t, characters, func(file, model map[string]any) { model["unk_token"] = "<unk>" }),
		"unknown fused": edit(t, characters, func(file, model map[string]any) {
			model["unk_token"], model["fuse_unk"] = "<unk>", true
		}),
	}
}

// pieces of texts that meet added tokens, white space and each other.
func mixtures(n int) []string {
	parts := append(adversarial()[1:len(adversarial())-2],
		"<l>", "<r>", "<lr>", "<<", "<<<", " the ", "the", "日本", "return", "\tx", "    ", "\n\n", "<s>", "<s", "</s>", "<mask>",
		"<|endoftext|>", "<|im_start|>", "<|eot_id|>", " ", "  ", "\n", "\t", "'", "'s", "a", "1", "é", ".")
	random := rand.New(rand.NewPCG(1, 2))
	texts := make([]string, n)
	for i := range texts {
		var b strings.Builder
		for range 1 + random.IntN(8) {
			p := []rune(parts[random.IntN(len(parts))])
			from := 0
			if random.IntN(3) == 0 {
				from = random.IntN(len(p))
			}
			b.WriteString(string(p[from:]))
		}
		texts[i] = b.String()
	}
	// And characters by chance, mostly those that pre-tokenizers look at.
	for range n {
		var b strings.Builder
		for range 1 + random.IntN(40) {
			switch random.IntN(4) {
			case 0:
				b.WriteString(" \n\t\r'"[random.IntN(5):][:1])
			case 1:
				b.WriteByte(byte(random.IntN(128)))
			case 2:
				b.WriteString([]string{"l", "s", "re", "1", "2", ".", "<", " ", "\u00a0", "ſ", "é", "日", "٣"}[random.IntN(13)])
			default:
				if c := rune(random.IntN(0x20000)); utf8.ValidRune(c) {
					b.WriteRune(c)
				}
			}
		}
		texts = append(texts, b.String())
	}
	return texts
}

func TestEncodesAsHuggingFace(t *testing.T) {
	o := newOracle(t)
	texts := slices.Concat(adversarial(), mixtures(1500), corpus(t, 300_000))
	for name, file := range families(t) {
		t.Run(name, func(t *testing.T) {
			o := o.in(t)
			tok, err := parse(file)
			require.NoError(t, err)
			id := o.load(file)
			want := o.encode(id, texts)
			var got [][]uint32
			for i, text := range texts {
				ids, err := tok.Append([]uint32{}, text)
				require.NoError(t, err)
				if !slices.Equal(want[i], ids) {
					require.Equal(t, want[i], ids, "%q", text)
				}
				got = append(got, ids)
			}
			for i, text := range o.decode(id, got) {
				if ours := tok.Decode(got[i]); ours != text {
					require.Equal(t, text, ours, "decoding %q", texts[i])
				}
			}
		})
	}
}

func TestTemplate(t *testing.T) {
	o := newOracle(t)
	file := families(t)["llama3"]
	tok, err := parse(file)
	require.NoError(t, err)
	var want [][]uint32
	o.ask(&want, "encode", map[string]any{"tokenizer": o.load(file), "texts": []string{"some text"}, "template": true})
	before, after := tok.Template()
	ids, err := tok.Encode("some text")
	require.NoError(t, err)
	require.NotEmpty(t, before)
	require.Equal(t, want[0], slices.Concat(before, ids, after))
}

// A megabyte without a space is one word: merging it must take no longer than
// any other text, or this test would not end.
func TestEncodesOneLongWord(t *testing.T) {
	o := newOracle(t)
	tok := trained(t, string(gpt2Form().preTokenizer), 3000)
	file, err := tok.MarshalJSON()
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(3, 4))
	letters := make([]byte, 1<<20)
	for i := range letters {
		letters[i] = "etaoinshrdluETAOIN"[random.IntN(18)]
	}
	texts := []string{string(letters), strings.Repeat("a", 1<<20), strings.Repeat("=", 1<<20), strings.Repeat(" ", 1<<20)}
	for i, want := range o.encode(o.load(file), texts) {
		got, err := tok.Encode(texts[i])
		require.NoError(t, err)
		require.True(t, slices.Equal(want, got), "text %d", i)
	}
}

func TestEncodeAnyBytes(t *testing.T) {
	tok := trained(t, string(gpt2Form().preTokenizer), 1000, "<s>")
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for _, text := range append(adversarial(), string(every), "\xff<s>\xc3", "\xe2\x82<s>\xac", "\xed\xa0\x80", "a\xf0\x9f\x98") {
		for _, encode := range []func(string) ([]uint32, error){tok.Encode, tok.EncodeOrdinary} {
			ids, err := encode(text)
			require.NoError(t, err)
			require.Equal(t, text, tok.Decode(ids))
		}
	}
}

func TestEncodeOrdinary(t *testing.T) {
	file := families(t)["added tokens"]
	tok, err := parse(file)
	require.NoError(t, err)
	s, ok := tok.ID("<s>")
	require.True(t, ok)
	double, ok := tok.ID("<<")
	require.True(t, ok)

	with, err := tok.Encode("a<s>b<<c")
	require.NoError(t, err)
	require.Contains(t, with, s)
	require.Contains(t, with, double)

	without, err := tok.EncodeOrdinary("a<s>b<<c")
	require.NoError(t, err)
	require.NotContains(t, without, s)
	require.Contains(t, without, double)
	require.Equal(t, "a<s>b<<c", tok.Decode(without))
}

func TestEncodeFromManyGoroutines(t *testing.T) {
	tok := trained(t, string(gpt2Form().preTokenizer), 1000)
	texts := corpus(t, 1<<20)
	var want [][]uint32
	for _, text := range texts {
		ids, err := tok.Encode(text)
		require.NoError(t, err)
		want = append(want, ids)
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for i, text := range texts {
				if ids, err := tok.Encode(text); err != nil || !slices.Equal(want[i], ids) {
					t.Errorf("text %d: %v or other ids", i, err)
				}
			}
		})
	}
	group.Wait()
}

func TestMergeLongAsShort(t *testing.T) {
	tok := trained(t, string(gpt2Form().preTokenizer), 3000)
	random := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		n := 2 + random.IntN(shortWord-1)
		var short, long merger
		for range n {
			id := tok.byteID[" aetnrs.="[random.IntN(9)]]
			short.symbols = append(short.symbols, id)
			long.symbols = append(long.symbols, id)
		}
		short.mergeShort(&tok.table)
		long.mergeLong(&tok.table)
		require.Equal(t, short.symbols, long.symbols)
	}
}
