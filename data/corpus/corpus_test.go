package corpus

import (
	"bytes"
	"context"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"bitnet/data"
	"bitnet/data/hub/hubtest"
	"bitnet/data/shard"
	"bitnet/data/text"
	"bitnet/data/tokenizer"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"
)

// setHub makes the environment point to a test hub and an empty cache.
func setHub(t testing.TB, s *hubtest.Server) {
	t.Helper()
	t.Setenv("HF_ENDPOINT", s.URL)
	t.Setenv("HF_HOME", t.TempDir())
	for _, v := range []string{"HF_HUB_CACHE", "HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE"} {
		t.Setenv(v, "")
	}
}

// goTexts reads the documentation and source of the Go tree, up to limit bytes.
func goTexts(t testing.TB, limit int) []string {
	t.Helper()
	root := filepath.Join(runtime.GOROOT(), "src")
	var all []string
	size := 0
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ext := filepath.Ext(p); !d.Type().IsRegular() || ext != ".go" && ext != ".md" && ext != ".s" {
			return nil
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		all = append(all, string(b))
		if size += len(b); size >= limit {
			return fs.SkipAll
		}
		return nil
	})
	if err != nil || size < limit {
		t.Skipf("the Go tree is not here to read (%d bytes found): %v", size, err)
	}
	return all
}

type webRow struct {
	Text  string  `parquet:"text,zstd"`
	ID    string  `parquet:"id"`
	Score float64 `parquet:"score"`
}

type otherRow struct {
	Dump string  `parquet:"dump"`
	Text *string `parquet:"text,snappy,optional"`
	N    int64   `parquet:"int_score"`
}

// pack makes a parquet file in memory; odd files have another schema.
func pack(t testing.TB, texts []string, odd bool) []byte {
	t.Helper()
	var buf bytes.Buffer
	if odd {
		var rows []otherRow
		for i := range texts {
			rows = append(rows, otherRow{"dump", &texts[i], 4})
		}
		require.NoError(t, parquet.Write(&buf, rows, parquet.MaxRowsPerRowGroup(100)))
	} else {
		var rows []webRow
		for i := range texts {
			rows = append(rows, webRow{texts[i], "id", 3.5})
		}
		require.NoError(t, parquet.Write(&buf, rows, parquet.MaxRowsPerRowGroup(150)))
	}
	return buf.Bytes()
}

// The whole road: a hub that cuts connections, files of two schemas, a
// tokenizer trained on the first of it, shards, batches while they are made.
func TestTheRoadFromHubToBatches(t *testing.T) {
	const limit = 6_000_000
	texts := goTexts(t, limit)
	s := hubtest.New(t)
	files := map[string][]byte{"README.md": []byte("about"), "data/validation-0.parquet": pack(t, []string{"not to be trained on"}, false)}
	const parts = 4
	for i := range parts {
		from, to := i*len(texts)/parts, (i+1)*len(texts)/parts
		files["data/train-0000"+string(rune('0'+i))+"-of-00004.parquet"] = pack(t, texts[from:to], i%2 == 1)
	}
	s.Add("datasets", "roneneldan/TinyStories", files)
	cuts := 0
	s.SetFault(func(host string, w http.ResponseWriter, r *http.Request) bool {
		if host != "store" {
			return false
		}
		if r.Header.Get("Range") == "" && cuts < 1 {
			cuts++
			w.Header().Set("Content-Length", "100000000")
			w.Write(make([]byte, 10))
			panic(http.ErrAbortHandler)
		}
		return false
	})
	setHub(t, s)

	c, err := Open(t.Context(), []string{"tinystories"}, Options{Parallel: 1})
	require.NoError(t, err)
	require.Len(t, c.Inputs, parts)
	require.Equal(t, c.Needs.Size, c.Needs.Download)
	require.Equal(t, "text", c.Text.Field)
	lines, err := c.Needs.Check(t.TempDir(), 2048)
	require.NoError(t, err)
	require.Len(t, lines, 3)

	c.Start(t.Context())
	sample, failed := c.Sample(t.Context(), 1_000_000)
	tok, err := tokenizer.Train(t.Context(), sample, tokenizer.TrainOptions{VocabSize: 1024, MinFrequency: 2, Specials: []string{"<pad>", "<s>", "</s>", "<unk>"}})
	require.NoError(t, err)
	require.NoError(t, *failed)

	dir := t.TempDir()
	job, err := shard.Begin(t.Context(), dir, shard.Options{Tokenizer: tok, Inputs: c.Inputs, Text: c.Text, ShardIDs: 200_000, HeldOut: 0.02})
	require.NoError(t, err)
	ran := make(chan error, 1)
	go func() {
		_, err := job.Run(t.Context())
		ran <- err
	}()

	const seq, rows = 128, 8
	l, err := shard.OpenLoader(t.Context(), dir, shard.LoadOptions{Seq: seq, Shuffle: true, Seed: 1, Tokenizer: tok.Hash()})
	require.NoError(t, err)
	defer l.Close()
	b := data.NewBatch(rows, seq)
	for range 50 { // waits for shards as they come
		require.NoError(t, l.Next(b))
		require.Equal(t, b.Inputs[1:seq], b.Targets[:seq-1])
	}
	require.NoError(t, <-ran)
	m, err := shard.ReadManifest(dir)
	require.NoError(t, err)
	require.True(t, m.Complete)
	train, val, size := m.Totals()
	require.EqualValues(t, len(texts), train.Documents+val.Documents)
	require.InDelta(t, limit, size, limit/10)
	require.InDelta(t, 0.02, float64(val.Documents)/float64(len(texts)), 0.02)
	require.NotZero(t, val.Documents)
	require.Less(t, float64(train.IDs+val.IDs), 0.6*float64(size))
	d, n := c.Downloads()
	require.Equal(t, parts, n)
	require.Equal(t, d.Total, d.Done)
	require.Positive(t, cuts)
	require.False(t, s.Leaked())

	// What was read is what was packed.
	var got []string
	for doc, err := range c.Documents(t.Context()) {
		require.NoError(t, err)
		got = append(got, doc.Text)
	}
	require.Equal(t, texts, got)

	// Offline the same again, with nothing asked of the hub.
	t.Setenv("HF_HUB_OFFLINE", "1")
	before := len(s.Requests())
	c, err = Open(t.Context(), []string{"tinystories"}, Options{})
	require.NoError(t, err)
	require.Zero(t, c.Needs.Download)
	again, err := shard.Prepare(t.Context(), dir, shard.Options{Tokenizer: tok, Inputs: c.Inputs, Text: c.Text, ShardIDs: 200_000, HeldOut: 0.02})
	require.NoError(t, err)
	require.Equal(t, m.ID(), again.ID())
	require.Len(t, s.Requests(), before)
}

func TestOpenNames(t *testing.T) {
	s := hubtest.New(t)
	s.Add("datasets", "org/set", map[string][]byte{
		"README.md": []byte("x"), "a/1.parquet": pack(t, []string{"one"}, false), "b/2.jsonl": []byte("{\"text\":\"two\"}\n"), "info.json": []byte("{}"),
	})
	s.Add("datasets", "org/empty", map[string][]byte{"README.md": []byte("x")})
	setHub(t, s)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "3.txt"), []byte("three"), 0o644))

	read := func(o Options, names ...string) []string {
		c, err := Open(t.Context(), names, o)
		require.NoError(t, err)
		var got []string
		for d, err := range c.Documents(t.Context()) {
			require.NoError(t, err)
			got = append(got, d.Text)
		}
		return got
	}
	require.Equal(t, []string{"one", "two", "three"}, read(Options{}, "hub:org/set", dir))
	require.Equal(t, []string{"two"}, read(Options{Files: []string{"b/*"}}, "hub:org/set"))
	require.Equal(t, []string{"three"}, read(Options{}, filepath.Join(dir, "3.txt")))

	for name, want := range map[string]string{
		"nothing-here":                "neither a preset (tinystories, fineweb-edu, hub:ORG/NAME) nor a file or folder",
		"org/set":                     "for the data set on the hub write hub:org/set",
		"hub:org/empty":               "none of its 1 files",
		"hub:org/missing":             "404",
		"hub:../x":                    "not the name of a dataset",
		filepath.Join(dir, "missing"): "neither a preset",
	} {
		_, err := Open(t.Context(), []string{name}, Options{})
		require.ErrorContains(t, err, want)
	}
	_, err := Open(t.Context(), nil, Options{})
	require.ErrorContains(t, err, "tinystories")
	t.Chdir(dir)
	require.NoError(t, os.Mkdir("tinystories", 0o755))
	_, err = Open(t.Context(), []string{"tinystories"}, Options{})
	require.ErrorContains(t, err, "./tinystories")
}

// Without a hub in reach the message says how to go on.
func TestOpenWithoutAHub(t *testing.T) {
	s := hubtest.New(t)
	setHub(t, s)
	t.Setenv("HF_HUB_OFFLINE", "1")
	for _, p := range Presets {
		_, err := Open(t.Context(), []string{p.Name}, Options{})
		require.ErrorContains(t, err, p.Repo)
		require.ErrorContains(t, err, "--data PATH")
	}
	require.Empty(t, s.Requests())
}

// Without the hub, files that are missing in the cache must not pass for a whole
// data set: whether we know which there are, or another program filled the cache.
func TestPartialCache(t *testing.T) {
	for _, foreign := range []bool{false, true} {
		for _, offline := range []bool{false, true} {
			s := hubtest.New(t)
			commit := s.Add("datasets", "org/set", map[string][]byte{
				"a/1.parquet": pack(t, []string{"one"}, false), "a/2.parquet": pack(t, []string{"two"}, false), "a/3.parquet": pack(t, []string{"three"}, false), "README.md": nil,
			})
			setHub(t, s)
			names := []string{"hub:org/set"}
			_, err := Open(t.Context(), names, Options{})
			require.NoError(t, err)
			c, err := Open(t.Context(), names, Options{Files: []string{"a/[12].parquet"}})
			require.NoError(t, err)
			for _, in := range c.Inputs {
				_, err := in.Open(t.Context())
				require.NoError(t, err)
			}
			repo := filepath.Join(os.Getenv("HF_HOME"), "hub", "datasets--org--set")
			listing := filepath.Join(repo, ".listings", commit+".json")
			require.FileExists(t, listing)
			if foreign {
				require.NoError(t, os.Remove(listing))
			}
			why := "the hub cannot be reached"
			if offline {
				why = "HF_HUB_OFFLINE is set"
				t.Setenv("HF_HUB_OFFLINE", "1")
			} else {
				gone := httptest.NewServer(nil)
				gone.Close()
				t.Setenv("HF_ENDPOINT", gone.URL)
			}
			lack := "1 of 3 files are not in the cache"
			if foreign {
				lack = "has no list of its files, only 2 files (a/1.parquet, a/2.parquet): some may be missing"
			}

			_, err = Open(t.Context(), names, Options{})
			require.ErrorContains(t, err, why)
			require.ErrorContains(t, err, lack)
			require.ErrorContains(t, err, "--partial")
			if !offline {
				continue // each attempt to reach the hub takes seconds
			}
			if !foreign {
				require.ErrorContains(t, err, "a/3.parquet")
				// All that is asked for is there.
				c, err := Open(t.Context(), names, Options{Files: []string{"a/[12].parquet"}})
				require.NoError(t, err)
				require.Len(t, c.Inputs, 2)
				require.Empty(t, c.Notes)
			}
			c, err = Open(t.Context(), names, Options{Partial: true})
			require.NoError(t, err)
			require.Len(t, c.Inputs, 2)
			require.Len(t, c.Notes, 1)
			require.Contains(t, c.Notes[0], "continuing with the 2 files (a/1.parquet, a/2.parquet) in the cache")
			require.Zero(t, c.Needs.Download)
			var got []string
			for d, err := range c.Documents(t.Context()) {
				require.NoError(t, err)
				got = append(got, d.Text)
			}
			require.Equal(t, []string{"one", "two"}, got)
			if !foreign {
				_, err = Open(t.Context(), names, Options{Partial: true, Files: []string{"a/3.parquet"}})
				require.ErrorContains(t, err, "1 of 1 files are not in the cache")
			}
		}
	}
}

// Sampling text for a tokenizer ends where its context is cancelled.
func TestSampleIsCancelled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.jsonl")
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("{\"text\":\"a\"}\n", 1000)), 0o644))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c, err := Open(ctx, []string{path}, Options{})
	require.NoError(t, err)
	docs, failed := c.Sample(ctx, 1<<20)
	n := 0
	for range docs {
		if n++; n == 10 {
			cancel()
		}
	}
	require.Equal(t, 10, n)
	require.ErrorIs(t, *failed, context.Canceled)
	_, err = Open(t.Context(), []string{path}, Options{Text: text.Options{MaxDocument: 1 << 40}})
	require.ErrorContains(t, err, "--max-document")
}

func TestLoadTokenizer(t *testing.T) {
	docs := func(yield func(string) bool) { yield(strings.Repeat("the cat sat on the mat. ", 50)) }
	tok, err := tokenizer.Train(t.Context(), docs, tokenizer.TrainOptions{VocabSize: 280, Specials: []string{"<s>", "</s>"}})
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, tok.Save(dir))
	files := map[string][]byte{"model.safetensors": make([]byte, 1000)}
	for _, name := range tokenizerFiles {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			files[name] = b
		}
	}
	s := hubtest.New(t)
	s.Add("models", "org/model", files)
	s.Add("models", "org/none", map[string][]byte{"README.md": []byte("x")})
	setHub(t, s)
	for _, name := range []string{dir, filepath.Join(dir, "tokenizer.json"), "org/model", "org/model@main"} {
		got, err := LoadTokenizer(t.Context(), name)
		require.NoError(t, err, name)
		require.Equal(t, tok.Hash(), got.Hash())
		want, ok := tok.BOS()
		bos, ok2 := got.BOS()
		require.Equal(t, ok, ok2)
		require.Equal(t, want, bos)
	}
	for _, r := range s.Requests() {
		require.NotContains(t, r, "model.safetensors")
	}
	_, err = LoadTokenizer(t.Context(), "org/none")
	require.ErrorContains(t, err, "no tokenizer.json among its 1 file (README.md)")
	require.ErrorContains(t, err, "no file or folder org/none")
	_, err = LoadTokenizer(t.Context(), "org/other")
	require.ErrorContains(t, err, "404")
	require.ErrorContains(t, err, "no file or folder org/other, and as a name on the hub")
	_, err = LoadTokenizer(t.Context(), "/no/such/path")
	require.ErrorContains(t, err, "no file or folder /no/such/path")
	require.ErrorContains(t, err, "not a name on the hub either")
	_, err = LoadTokenizer(t.Context(), filepath.Join(dir, "tokenizer.json", "x"))
	require.Error(t, err)
}

func TestNeeds(t *testing.T) {
	out := filepath.Join(t.TempDir(), "not", "there", "yet")
	lines, err := Needs{Files: 3, Size: 4e9, Text: 8e9}.Check(out, 32_000)
	require.Len(t, lines, 2)
	require.Contains(t, lines[0], "3 files of 3.7 GiB, about 7.5 GiB of text")
	if err == nil {
		require.Contains(t, lines[1], "about 4.3 GiB")
	}
	_, err = Needs{Files: 1, Size: 1e18, Text: 1e18}.Check(out, 32_000)
	require.ErrorContains(t, err, "are free")
	require.ErrorContains(t, err, "200 MiB must stay free")
	require.ErrorContains(t, err, "--output")
	lines, err = Needs{Files: 1, Size: 1e18, Text: 1e6, Download: 1e18, Cache: t.TempDir()}.Check(out, 32_000)
	require.Len(t, lines, 3)
	require.ErrorContains(t, err, "are free and 200 MiB must stay free")
	require.Equal(t, "about 3 h", about(10_000))
	require.Equal(t, "about 2 min", about(100))
	require.EqualValues(t, 2*Needs{Text: 7e9}.Shards(1<<16), Needs{Text: 7e9}.Shards(1<<16+1))
}

func TestPresets(t *testing.T) {
	for _, p := range Presets {
		got, ok := FindPreset(p.Name)
		require.True(t, ok)
		require.Equal(t, p, got)
		require.Equal(t, text.Parquet, text.FormatOf(p.Files[0]))
	}
	_, ok := FindPreset("none")
	require.False(t, ok)
}
