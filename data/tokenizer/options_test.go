package tokenizer

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTrainOptions(t *testing.T) {
	docs := slices.Values([]string{"abab abab abab cd", "<s> abab"})
	for _, test := range []struct {
		name    string
		options TrainOptions
		tokens  []string // after the bytes
		err     string
	}{
		{"all pairs", TrainOptions{VocabSize: 400}, []string{"ab", "abab", "Ġabab", "Ġ<", "Ġcd"}, ""},
		{"frequent pairs", TrainOptions{VocabSize: 400, MinFrequency: 3}, []string{"ab", "abab", "Ġabab"}, ""},
		{"few tokens", TrainOptions{VocabSize: 257}, []string{"ab"}, ""},
		{"only bytes", TrainOptions{VocabSize: 256}, nil, ""},
		{"special", TrainOptions{VocabSize: 400, Specials: []string{"<s>", "Ġabab"}, MinFrequency: 3}, []string{"ab", "abab"}, ""},
		{"too small", TrainOptions{VocabSize: 256, Specials: []string{"<s>"}}, nil, "1 special tokens and 256 bytes need 257"},
		{"too large", TrainOptions{VocabSize: 1<<30 + 1}, nil, "too large"},
		{"twice", TrainOptions{VocabSize: 400, Specials: []string{"a<", "a<"}}, nil, `"a<" is given twice`},
		{"empty special", TrainOptions{VocabSize: 400, Specials: []string{""}}, nil, `"" is not text`},
		{"broken special", TrainOptions{VocabSize: 400, Specials: []string{"\xff"}}, nil, `is not text`},
		{"long special", TrainOptions{VocabSize: 400, Specials: []string{strings.Repeat("x", 5000)}}, nil, `longer than 4096`},
	} {
		t.Run(test.name, func(t *testing.T) {
			tok, err := Train(context.Background(), docs, test.options)
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				return
			}
			require.NoError(t, err)
			made := tok.tokens[256+len(test.options.Specials):]
			if test.name == "all pairs" {
				require.Subset(t, made, []string{"ab", "abab", "Ġabab"})
				require.Less(t, tok.Size(), 400)
				return
			}
			require.Equal(t, test.tokens, append([]string(nil), made...))
		})
	}
}

func TestTrainStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	read := 0
	endless := func(yield func(string) bool) {
		for yield(strings.Repeat("some words. ", 10_000)) {
			if read++; read == 100 {
				cancel()
			}
		}
	}
	_, err := Train(ctx, endless, TrainOptions{VocabSize: 1000})
	require.ErrorIs(t, err, context.Canceled)
}

func TestTrainProgress(t *testing.T) {
	var read, merged []int
	docs := corpus(t, 3<<20)
	_, err := Train(context.Background(), slices.Values(docs), TrainOptions{VocabSize: 1000, Progress: func(done, of int) {
		if of == 0 {
			read = append(read, done)
		} else {
			merged = append(merged, done)
		}
	}})
	require.NoError(t, err)
	require.True(t, slices.IsSorted(read) && slices.IsSorted(merged))
	require.Equal(t, total(docs), read[len(read)-1])
	require.Equal(t, 1000, merged[len(merged)-1])
}

// The order in which workers finish must not show.
func TestTrainIsDeterministic(t *testing.T) {
	docs := corpus(t, 3<<20)
	var hashes []string
	for range 3 {
		tok, err := Train(context.Background(), slices.Values(docs), TrainOptions{VocabSize: 2000})
		require.NoError(t, err)
		hashes = append(hashes, tok.Hash())
	}
	require.Equal(t, hashes[0], hashes[1])
	require.Equal(t, hashes[0], hashes[2])
}
