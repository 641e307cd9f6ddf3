package tokenizer

import (
	"context"
	"encoding/json"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func total(docs []string) (n int) {
	for _, d := range docs {
		n += len(d)
	}
	return n
}

// BenchmarkEncode is one core; dst is used again and again.
func BenchmarkEncode(b *testing.B) {
	docs := corpus(b, 8<<20)
	for _, p := range []struct{ name, pre string }{
		{"gpt2", string(gpt2Form().preTokenizer)}, {"llama3", llama3PreTokenizer}, {"smollm", smolLMPreTokenizer},
	} {
		b.Run(p.name, func(b *testing.B) {
			tok := trained(b, p.pre, 8000)
			var dst []uint32
			tokens := 0
			b.SetBytes(int64(total(docs)))
			b.ReportAllocs()
			for b.Loop() {
				tokens = 0
				for _, d := range docs {
					dst, _ = tok.Append(dst[:0], d)
					tokens += len(dst)
				}
			}
			b.ReportMetric(float64(tokens)*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

// BenchmarkEncodeOneWord is a megabyte without a space.
func BenchmarkEncodeOneWord(b *testing.B) {
	tok := trained(b, string(gpt2Form().preTokenizer), 8000)
	text := strings.Repeat("abcdefghij", 1<<20/10)
	var dst []uint32
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		dst, _ = tok.Append(dst[:0], text)
	}
}

func BenchmarkScan(b *testing.B) {
	text := strings.Join(corpus(b, 8<<20), "")
	for _, p := range []struct {
		name string
		scan scanner
	}{{"gpt2", scanGPT2}, {"llama3", scanLlama3}} {
		b.Run(p.name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				for i := 0; i < len(text); {
					i += p.scan(text[i:])
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	tok := trained(b, string(gpt2Form().preTokenizer), 8000)
	text := strings.Join(corpus(b, 8<<20), "")
	ids, err := tok.Encode(text)
	require.NoError(b, err)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		_ = tok.Decode(ids)
	}
}

func BenchmarkTrain(b *testing.B) {
	docs := corpus(b, 32<<20)
	for _, size := range []struct {
		name  string
		vocab int
	}{{"2048", 2048}, {"32000", 32000}} {
		b.Run(size.name, func(b *testing.B) {
			b.SetBytes(int64(total(docs)))
			for b.Loop() {
				_, err := Train(context.Background(), slices.Values(docs), TrainOptions{VocabSize: size.vocab})
				require.NoError(b, err)
			}
		})
	}
}

// BenchmarkAgainstHuggingFace takes turns with Hugging Face tokenizers on the
// same text and cores and reports how many times as fast we are, the median of
// the turns. Both use all cores.
func BenchmarkAgainstHuggingFace(b *testing.B) {
	b.Run("encode", func(b *testing.B) {
		o := newOracle(b)
		docs := paragraphs(corpus(b, 4<<20), 1000) // where they are fastest
		tok := trained(b, string(gpt2Form().preTokenizer), 8000)
		file, err := tok.MarshalJSON()
		require.NoError(b, err)
		id := o.load(file)
		path := filepath.Join(b.TempDir(), "texts.json")
		data, err := json.Marshal(docs)
		require.NoError(b, err)
		require.NoError(b, os.WriteFile(path, data, 0o644))
		compare(b, total(docs), func() (seconds float64) {
			o.ask(&seconds, "time", map[string]any{"tokenizer": id, "file": path})
			return seconds
		}, func() {
			_, err := encodeAll(tok, docs)
			require.NoError(b, err)
		})
	})
	b.Run("train", func(b *testing.B) {
		o := newOracle(b)
		docs := corpus(b, 32<<20)
		path := filepath.Join(b.TempDir(), "text")
		require.NoError(b, os.WriteFile(path, []byte(strings.Join(docs, "")), 0o644))
		id := o.load([]byte(`{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,` +
			`"pre_tokenizer":` + string(gpt2Form().preTokenizer) + `,"post_processor":null,"decoder":` + string(gpt2Form().decoder) + `,` +
			`"model":{"type":"BPE","vocab":{},"merges":[]}}`))
		out := filepath.Join(b.TempDir(), "tokenizer.json")
		compare(b, total(docs), func() (seconds float64) {
			o.ask(&seconds, "train", map[string]any{"tokenizer": id, "files": []string{path}, "out": out})
			return seconds
		}, func() {
			_, err := Train(context.Background(), fileLines(b, path), TrainOptions{VocabSize: 30_000})
			require.NoError(b, err)
		})
	})
}

// encodeAll encodes texts on all cores.
func encodeAll(t *Tokenizer, texts []string) (ids [][]uint32, err error) {
	ids = make([][]uint32, len(texts))
	errs := make([]error, len(texts))
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(texts)) {
		workers.Go(func() {
			var room []uint32
			for {
				i := int(next.Add(1)) - 1
				if i >= len(texts) {
					return
				}
				if room, errs[i] = t.Append(room[:0], texts[i]); errs[i] == nil {
					ids[i] = append(make([]uint32, 0, len(room)), room...)
				}
			}
		})
	}
	workers.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// paragraphs cuts documents at ends of lines, into parts of at least size bytes.
func paragraphs(docs []string, size int) []string {
	var out []string
	for _, d := range docs {
		for len(d) > size {
			end := size + strings.IndexByte(d[size:], '\n') + 1
			if end == size {
				break
			}
			out = append(out, d[:end])
			d = d[end:]
		}
		out = append(out, d)
	}
	return out
}

func fileLines(b *testing.B, path string) iter.Seq[string] {
	data, err := os.ReadFile(path)
	require.NoError(b, err)
	return strings.Lines(string(data))
}

func compare(b *testing.B, size int, theirs func() float64, ours func()) {
	var ratios, mine, others []float64
	for b.Loop() {
		for range 3 {
			other := theirs()
			start := time.Now()
			ours()
			own := time.Since(start).Seconds()
			ratios = append(ratios, other/own)
			mine = append(mine, float64(size)/1e6/own)
			others = append(others, float64(size)/1e6/other)
		}
	}
	for _, list := range [][]float64{ratios, mine, others} {
		slices.Sort(list)
	}
	b.ReportMetric(ratios[len(ratios)/2], "times-as-fast")
	b.ReportMetric(mine[len(mine)/2], "our-MB/s")
	b.ReportMetric(others[len(others)/2], "their-MB/s")
	b.ReportMetric(0, "ns/op")
}
