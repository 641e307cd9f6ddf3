package shard

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bitnet/data/text"
	"bitnet/data/tokenizer"

	"github.com/stretchr/testify/require"
)

var shared = sync.OnceValues(func() (*tokenizer.Tokenizer, error) {
	docs := func(yield func(string) bool) { yield(strings.Join(stories(200), "\n")) }
	return tokenizer.Train(context.Background(), docs, tokenizer.TrainOptions{VocabSize: 400, Specials: []string{"<pad>", "<s>", "</s>", "<unk>"}})
})

func testTokenizer(t testing.TB) *tokenizer.Tokenizer {
	t.Helper()
	tok, err := shared()
	require.NoError(t, err)
	_, ok := tok.BOS()
	require.True(t, ok)
	return tok
}

// stories makes n texts, each of which occurs once.
func stories(n int) []string {
	r := rand.New(rand.NewPCG(7, 7))
	who := []string{"the cat", "a dog", "Tom", "<s> Anna", "an old bird"}
	does := []string{"sat on", "saw", "ran to", "was happy with", "ate"}
	what := []string{"the mat.", "a red ball!", "its dinner.", "the big tree?", "an apple. 😀"}
	out := make([]string, n)
	for i := range out {
		var b strings.Builder
		fmt.Fprintf(&b, "Story %d. ", i)
		for range 1 + r.IntN(30) {
			fmt.Fprintf(&b, "%s %s %s ", who[r.IntN(5)], does[r.IntN(5)], what[r.IntN(5)])
		}
		out[i] = b.String()
	}
	return out
}

// corpus writes texts into JSON lines files of perFile texts each.
func corpus(t testing.TB, texts []string, perFile int) []Input {
	t.Helper()
	dir := t.TempDir()
	for k := 0; k*perFile < len(texts); k++ {
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%03d.jsonl", k)))
		require.NoError(t, err)
		w := bufio.NewWriter(f)
		for _, s := range texts[k*perFile : min((k+1)*perFile, len(texts))] {
			b, err := json.Marshal(map[string]string{"text": s})
			require.NoError(t, err)
			w.Write(append(b, '\n'))
		}
		require.NoError(t, w.Flush())
		require.NoError(t, f.Close())
	}
	found, err := text.Find(context.Background(), dir)
	require.NoError(t, err)
	inputs, err := LocalInputs(found)
	require.NoError(t, err)
	return inputs
}

// contents reads a folder of shards, without its lock.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		if e.Name() != lockName {
			b, err := os.ReadFile(filepath.Join(dir, e.Name()))
			require.NoError(t, err)
			all[e.Name()] = string(b)
		}
	}
	return all
}

// documentsIn decodes all documents of one side.
func documentsIn(t testing.TB, dir string, val bool) [][]uint32 {
	t.Helper()
	m, err := ReadManifest(dir)
	require.NoError(t, err)
	require.True(t, m.Complete)
	var all [][]uint32
	for _, e := range m.Shards {
		f := e.Train
		if val {
			f = e.Val
		}
		if f.Name == "" {
			continue
		}
		s, err := Open(filepath.Join(dir, f.Name))
		require.NoError(t, err)
		require.Equal(t, m.Tokenizer, s.Tokenizer())
		require.Equal(t, f.IDs, s.Len())
		require.Equal(t, f.Documents, s.Documents())
		for i := range s.Documents() {
			ids, err := s.Document(nil, i)
			require.NoError(t, err)
			all = append(all, ids)
		}
		require.NoError(t, s.Close())
	}
	return all
}

func TestPrepare(t *testing.T) {
	tok := testTokenizer(t)
	texts := stories(3000)
	for i := 0; i < len(texts); i += 10 {
		texts[i] = texts[i/2] // copies must be on the same side
	}
	inputs := corpus(t, texts, 700)
	for name, o := range map[string]Options{
		"default": {}, "half": {HeldOut: 0.5}, "none": {HeldOut: -1}, "no marks": {NoBOS: true, NoEOS: true, HeldOut: 0.1},
	} {
		t.Run(name, func(t *testing.T) {
			o.Tokenizer, o.Inputs, o.ShardIDs = tok, inputs, 20_000
			dir := t.TempDir()
			var last Progress
			o.Progress = func(p Progress) { last = p }
			m, err := Prepare(t.Context(), dir, o)
			require.NoError(t, err)
			require.True(t, m.Complete)
			require.Greater(t, len(m.Shards), 3)

			bos, _ := tok.BOS()
			eos, _ := tok.EOS()
			held := map[string]bool{}
			var train, val []string
			for _, side := range []bool{false, true} {
				for _, ids := range documentsIn(t, dir, side) {
					if !o.NoBOS {
						require.Equal(t, bos, ids[0])
						ids = ids[1:]
					}
					if !o.NoEOS {
						require.Equal(t, eos, ids[len(ids)-1])
						ids = ids[:len(ids)-1]
					}
					// Marks inside of the text are text.
					require.NotContains(t, ids, bos)
					s := tok.Decode(ids)
					if side {
						val = append(val, s)
						held[s] = true
					} else {
						train = append(train, s)
					}
				}
			}
			for _, s := range train {
				require.False(t, held[s], "trained on what is held out: %s", s)
			}
			var wantTrain, wantVal []string
			size := 0
			for _, s := range texts {
				size += len(s)
				if held[s] {
					wantVal = append(wantVal, s)
				} else {
					wantTrain = append(wantTrain, s)
				}
			}
			require.Equal(t, wantTrain, train)
			require.Equal(t, wantVal, val)
			share := float64(len(val)) / float64(len(texts))
			switch name {
			case "default":
				require.InDelta(t, 0.005, share, 0.004)
				require.NotZero(t, len(val))
			case "half":
				require.InDelta(t, 0.5, share, 0.05)
			case "none":
				require.Zero(t, share)
			}
			require.EqualValues(t, len(texts), last.Documents)
			require.EqualValues(t, len(val), last.HeldOut)
			require.EqualValues(t, size, last.Text.Done)
			require.Equal(t, len(m.Shards), last.Shards)
			require.Equal(t, last.Inputs.Total, last.Inputs.Done)
			a, b, bytes := m.Totals()
			require.EqualValues(t, size, bytes)
			require.Equal(t, last.IDs.Done, a.IDs+b.IDs)

			// Again: nothing to do, nothing changed.
			before := contents(t, dir)
			_, err = Prepare(t.Context(), dir, o)
			require.NoError(t, err)
			require.Equal(t, before, contents(t, dir))
		})
	}
}

func TestWorkersDoNotMatter(t *testing.T) {
	inputs := corpus(t, stories(5000), 1300)
	var want map[string]string
	for _, workers := range []int{1, 2, 9} {
		dir := t.TempDir()
		_, err := Prepare(t.Context(), dir, Options{Tokenizer: testTokenizer(t), Inputs: inputs, ShardIDs: 50_000, Workers: workers})
		require.NoError(t, err)
		got := contents(t, dir)
		require.Greater(t, len(got), 5)
		if want == nil {
			want = got
		}
		require.Equal(t, want, got)
	}
}

// A run that is broken off anywhere and run again gives the same bytes.
func TestRestart(t *testing.T) {
	tok := testTokenizer(t)
	inputs := corpus(t, stories(3000), 800)
	whole := t.TempDir()
	_, err := Prepare(t.Context(), whole, Options{Tokenizer: tok, Inputs: inputs, ShardIDs: 30_000})
	require.NoError(t, err)
	want := contents(t, whole)

	dir := t.TempDir()
	breaks := 0
	for k := 1; ; k++ {
		require.Less(t, k, 100)
		// Each run opens one input more before it fails.
		opened := 0
		broken := make([]Input, len(inputs))
		for i, in := range inputs {
			broken[i] = Input{Named: in.Named, Open: func(ctx context.Context) (string, error) {
				if opened++; opened > 1+k/2 {
					return "", errors.New("cable pulled")
				}
				return in.Open(ctx)
			}}
		}
		m, err := Prepare(t.Context(), dir, Options{Tokenizer: tok, Inputs: broken, ShardIDs: 30_000})
		if err == nil {
			require.True(t, m.Complete)
			break
		}
		breaks++
		require.ErrorContains(t, err, "cable pulled")
		left, err := filepath.Glob(filepath.Join(dir, "*.tmp"))
		require.NoError(t, err)
		require.Empty(t, left)
	}
	require.Positive(t, breaks)
	require.Equal(t, want, contents(t, dir))
}

// TestKilledHelper is the process that TestKilled kills.
func TestKilledHelper(t *testing.T) {
	if os.Getenv("BITNET_SHARD_OUT") == "" {
		t.Skip("only run by TestKilled")
	}
	found, err := text.Find(context.Background(), os.Getenv("BITNET_SHARD_IN"))
	require.NoError(t, err)
	inputs, err := LocalInputs(found)
	require.NoError(t, err)
	_, err = Prepare(t.Context(), os.Getenv("BITNET_SHARD_OUT"), Options{Tokenizer: testTokenizer(t), Inputs: inputs, ShardIDs: 20_000})
	require.NoError(t, err)
}

func TestKilled(t *testing.T) {
	inputs := corpus(t, stories(20_000), 6000)
	path, err := inputs[0].Open(t.Context())
	require.NoError(t, err)
	tok := testTokenizer(t)
	whole := t.TempDir()
	_, err = Prepare(t.Context(), whole, Options{Tokenizer: tok, Inputs: inputs, ShardIDs: 20_000})
	require.NoError(t, err)
	want := contents(t, whole)

	dir := t.TempDir()
	killed := 0
	for range 40 {
		before := 0
		if m, err := ReadManifest(dir); err == nil {
			before = len(m.Shards)
		}
		cmd := exec.Command(os.Args[0], "-test.run=TestKilledHelper$")
		cmd.Env = append(os.Environ(), "BITNET_SHARD_OUT="+dir, "BITNET_SHARD_IN="+filepath.Dir(path))
		require.NoError(t, cmd.Start())
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		ended := false
		for !ended {
			select {
			case err := <-done:
				if err == nil {
					require.Positive(t, killed, "it was done before it could be killed")
					require.Equal(t, want, contents(t, dir))
					return
				}
				require.Positive(t, killed)
				ended = true
			case <-time.After(time.Millisecond):
				if m, err := ReadManifest(dir); err == nil && !m.Complete && len(m.Shards) >= before+3 && killed < 5 {
					cmd.Process.Kill()
					killed++
					<-done
					ended = true
				}
			}
		}
	}
	t.Fatal("never done")
}

func TestSmallCorpora(t *testing.T) {
	tok := testTokenizer(t)
	for n, least := range map[int]int{1: 0, 2: 1, 17: 1, 40: 2, 500: 4} {
		dir := t.TempDir()
		m, err := Prepare(t.Context(), dir, Options{Tokenizer: tok, Inputs: corpus(t, stories(n), n), HeldOut: 1e-9})
		require.NoError(t, err)
		_, val, _ := m.Totals()
		require.EqualValues(t, least, val.Documents, "%d documents", n)
	}
	_, err := Prepare(t.Context(), t.TempDir(), Options{Tokenizer: tok, Inputs: corpus(t, []string{"", ""}, 2)})
	require.ErrorContains(t, err, "no text to train on")
	_, err = Prepare(t.Context(), t.TempDir(), Options{})
	require.Error(t, err)
}

func TestPrepareRefuses(t *testing.T) {
	tok := testTokenizer(t)
	inputs := corpus(t, stories(50), 25)
	dir := t.TempDir()
	o := Options{Tokenizer: tok, Inputs: inputs}
	_, err := Prepare(t.Context(), dir, o)
	require.NoError(t, err)

	other, err := tokenizer.Characters("abcdefghijklmnopqrstuvwxyz")
	require.NoError(t, err)
	for want, change := range map[string]func(*Options){
		"a different tokenizer":      func(o *Options) { o.Tokenizer = other },
		"different or changed files": func(o *Options) { o.Inputs = inputs[:1] },
		"different options":          func(o *Options) { o.NoBOS = true },
	} {
		changed := o
		change(&changed)
		_, err := Prepare(t.Context(), dir, changed)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "--fresh")
	}
	// Characters has no id for most of the text: the place is named.
	fresh := o
	fresh.Tokenizer, fresh.Fresh = other, true
	_, err = Prepare(t.Context(), dir, fresh)
	require.ErrorContains(t, err, "000.jsonl: document 0")

	fresh.Tokenizer = tok
	m, err := Prepare(t.Context(), dir, fresh)
	require.NoError(t, err)
	require.True(t, m.Complete)

	job, err := Begin(t.Context(), dir, o)
	require.NoError(t, err)
	_, err = Prepare(t.Context(), dir, o)
	require.ErrorContains(t, err, "another process")
	_, err = job.Run(t.Context())
	require.NoError(t, err)

	require.NoError(t, os.Truncate(filepath.Join(dir, m.Shards[0].Train.Name), 100))
	_, err = Prepare(t.Context(), dir, o)
	require.ErrorContains(t, err, "missing or was cut short")

	bad := corpus(t, stories(50), 25)
	p, err := bad[1].Open(t.Context())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(p, []byte("{\"text\":\"a\"}\n{\"text\":"), 0o644))
	_, err = Prepare(t.Context(), t.TempDir(), Options{Tokenizer: tok, Inputs: bad})
	require.ErrorContains(t, err, p+": line 2")
}

func TestPrepareCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	inputs := corpus(t, stories(100), 50)
	wait := inputs[1].Open
	inputs[1].Open = func(ctx context.Context) (string, error) {
		cancel() // as if it were still coming
		<-ctx.Done()
		if err := ctx.Err(); err != nil {
			return "", err
		}
		return wait(ctx)
	}
	_, err := Prepare(ctx, t.TempDir(), Options{Tokenizer: testTokenizer(t), Inputs: inputs})
	require.ErrorIs(t, err, context.Canceled)

	// While the sample that decides what is held out is read.
	ctx, cancel = context.WithCancel(t.Context())
	inputs = corpus(t, stories(100), 100)
	path, err := inputs[0].Open(ctx)
	require.NoError(t, err)
	inputs[0].Open = func(context.Context) (string, error) {
		cancel()
		return path, nil
	}
	_, err = Begin(ctx, t.TempDir(), Options{Tokenizer: testTokenizer(t), Inputs: inputs})
	require.ErrorIs(t, err, context.Canceled)

	// While shards are made.
	ctx, cancel = context.WithCancel(t.Context())
	dir := t.TempDir()
	const n = 30_000
	o := Options{Tokenizer: testTokenizer(t), Inputs: corpus(t, stories(n), n), ShardIDs: 1 << 10, Progress: func(Progress) { cancel() }}
	m, err := Prepare(ctx, dir, o)
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, m.Complete)
	train, val, _ := m.Totals()
	require.Less(t, train.Documents+val.Documents, int64(n))

	// A document that takes long to encode is not waited for.
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	c := chunk{docs: []placed{{Document: text.Document{Text: "a"}}}}
	c.encode(ctx, m, &o)
	require.ErrorIs(t, c.err, context.Canceled)
	require.Empty(t, c.ids)
}

func TestManifestDamaged(t *testing.T) {
	dir := t.TempDir()
	_, err := ReadManifest(dir)
	require.ErrorContains(t, err, "bitnet data prepare")
	for content, want := range map[string]string{
		"{":                       "not a manifest of token shards",
		`{"version":9}`:           "version 9",
		`{"version":1,"vocab":5}`: "no inputs",
		`{"version":1}`:           "vocabulary",
		`{"version":1,"vocab":5,"inputs":[{}],"shards":[{"train":{"name":"../../etc/passwd","ids":5}}]}`:       "passwd",
		`{"version":1,"vocab":5,"inputs":[{}],"shards":[{"train":{"name":"","ids":5}}]}`:                       "5 ids",
		`{"version":1,"vocab":5,"inputs":[{}],"shards":[{"train":{"name":"a","ids":-5}}]}`:                     "-5 ids",
		`{"version":1,"vocab":5,"inputs":[{}],"shards":[{"train":{"name":"a","ids":5},"end":{"input":7}}]}`:    "input 7",
		`{"version":1,"vocab":5,"inputs":[{}],"shards":[{"train":{"name":"a","ids":1e99},"end":{"input":0}}]}`: "not a manifest of token shards",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, manifestName), []byte(content), 0o644))
		_, err := ReadManifest(dir)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, dir)
	}
}

func BenchmarkPrepare(b *testing.B) {
	texts := stories(40_000)
	inputs := corpus(b, texts, 10_000)
	size := 0
	for _, s := range texts {
		size += len(s)
	}
	tok := testTokenizer(b)
	b.SetBytes(int64(size))
	var ids int64
	for b.Loop() {
		m, err := Prepare(b.Context(), b.TempDir(), Options{Tokenizer: tok, Inputs: inputs})
		require.NoError(b, err)
		train, val, _ := m.Totals()
		ids += train.IDs + val.IDs
	}
	b.ReportMetric(float64(ids)/b.Elapsed().Seconds(), "tokens/s")
}
