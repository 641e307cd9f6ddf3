package tokenizer

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Hugging Face's trainer can be called only with its default settings here:
// 30,000 tokens, no special tokens, and the alphabet of the text. None of that
// changes which pairs are merged, only how many and their ids.
func TestTrainMergesAsHuggingFace(t *testing.T) {
	o := newOracle(t)
	docs := corpus(t, 4<<20)
	for _, test := range []struct {
		name, preTokenizer string
		docs               []string
	}{
		{"gpt2", string(gpt2Form().preTokenizer), docs},
		{"llama3", llama3PreTokenizer, docs[:len(docs)/4]},
		{"smollm", smolLMPreTokenizer, docs[:len(docs)/4]},
		{"runs", string(gpt2Form().preTokenizer), runs()},
		{"adversarial", string(gpt2Form().preTokenizer), adversarial()},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := o.in(t)
			text := filepath.Join(t.TempDir(), "text")
			require.NoError(t, os.WriteFile(text, []byte(strings.Join(test.docs, "")), 0o644))
			want := o.train(t, test.preTokenizer, text)

			split, f, err := parsePreTokenizer(json.RawMessage(test.preTokenizer))
			require.NoError(t, err)
			got, err := train(context.Background(), slices.Values(lines([]string{strings.Join(test.docs, "")})),
				TrainOptions{VocabSize: 30_000, Specials: []string{"<s>", "</s>"}}, split, f)
			require.NoError(t, err)

			require.NotEmpty(t, want)
			n := min(len(want), len(got.merges))
			require.InDelta(t, len(want), n, 300, "the vocabularies differ in size by more than the alphabet")
			for i, m := range got.merges[:n] {
				require.Equal(t, want[i], [2]string{got.tokens[m.Left], got.tokens[m.Right]}, "merge %d", i)
			}
		})
	}
}

// runs makes words of few characters, in which one token comes about in
// several ways.
func runs() []string {
	var b strings.Builder
	state := uint32(1)
	for range 20_000 {
		state = state*1664525 + 1013904223
		for range 1 + state>>28 {
			state = state*1664525 + 1013904223
			b.WriteByte("ab-="[state>>30])
			if state>>27&1 == 0 {
				b.WriteString(strings.Repeat("a", int(state>>24&7)))
			}
		}
		b.WriteString(" \n"[state>>29&1 : state>>29&1+1])
	}
	return []string{b.String()}
}

// train gives the merges that the oracle makes of a file.
func (o *oracle) train(t *testing.T, preTokenizer, file string) [][2]string {
	t.Helper()
	id := o.load([]byte(`{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,` +
		`"pre_tokenizer":` + preTokenizer + `,"post_processor":null,"decoder":` + string(gpt2Form().decoder) + `,` +
		`"model":{"type":"BPE","vocab":{},"merges":[]}}`))
	out := filepath.Join(t.TempDir(), "tokenizer.json")
	o.ask(nil, "train", map[string]any{"tokenizer": id, "files": []string{file}, "out": out})
	data, err := os.ReadFile(out)
	require.NoError(t, err)
	var saved struct {
		Model struct {
			Merges [][2]string `json:"merges"`
		} `json:"model"`
	}
	require.NoError(t, json.Unmarshal(data, &saved))
	return saved.Model.Merges
}

const (
	llama3PreTokenizer = `{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]}`
	smolLMPreTokenizer = `{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}]}`
)
