package catalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/task"
	"bitnet/data"
	"bitnet/data/shard"
	"bitnet/data/tokenizer"
)

// options are those of a small run on a source.
func options(source string) task.Options {
	return task.Options{Settings: task.Settings{Source: source}, Seq: 48, Seed: 1, Vocab: 320, Tokens: 1000}
}

// characters is a tokenizer of single characters, and a folder that holds it.
func characters(t *testing.T, of string) (*tokenizer.Tokenizer, string) {
	t.Helper()
	tok, err := tokenizer.Characters(of)
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, tok.Save(dir))
	return tok, dir
}

// ids writes token ids to a file, and gives its source.
func ids(t *testing.T, values ...uint16) string {
	t.Helper()
	var raw []byte
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint16(raw, v)
	}
	path := filepath.Join(t.TempDir(), "ids.u16")
	require.NoError(t, os.WriteFile(path, raw, 0o644))
	return "tokens:" + path
}

// read reads a source to its end: the inputs and the targets that carry loss.
func read(t *testing.T, src data.Source, rows, seq int) (inputs, targets []uint32) {
	t.Helper()
	b := data.NewBatch(rows, seq)
	for range 1 << 16 {
		err := src.Next(b)
		if errors.Is(err, io.EOF) {
			return inputs, targets
		}
		require.NoError(t, err)
		for i, target := range b.Targets {
			if target != data.Ignore {
				inputs, targets = append(inputs, b.Inputs[i]), append(targets, target)
			}
		}
	}
	t.Fatal("the source has no end")
	return nil, nil
}

func TestOpenTokens(t *testing.T) {
	values := make([]uint16, 200)
	for i := range values {
		values[i] = uint16(i % 7)
	}
	tok, dir := characters(t, "abc") // 7 tokens
	other, otherDir := characters(t, "abcdefgh")
	o := options(ids(t, values...))

	opened, err := Open(t.Context(), o)
	require.NoError(t, err)
	require.Nil(t, opened.Tokenizer(), "nothing is known but the ids")
	held, err := opened.Validation()
	require.NoError(t, err)
	require.Nil(t, held, "nothing is held out")

	o.Settings.Tokenizer = dir
	opened, err = Open(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, tok.Hash(), opened.Tokenizer().Hash())

	small := o
	small.Vocab, small.Settings.Tokenizer = 7, otherDir
	_, err = Open(t.Context(), small)
	require.ErrorContains(t, err, fmt.Sprintf("model.vocab_size 7 is too small: the tokenizer has %d tokens", other.Size()))
	small.Settings.Tokenizer = filepath.Join(dir, "nothing")
	_, err = Open(t.Context(), small)
	require.Error(t, err)

	// A model that is continued keeps its tokenizer.
	o.Own = tok
	opened, err = Open(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, tok.Hash(), opened.Tokenizer().Hash())
	o.Own = other
	_, err = Open(t.Context(), o)
	require.ErrorContains(t, err, "a different tokenizer than the model was trained with")
	o.Settings.Tokenizer = ""
	opened, err = Open(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, other.Hash(), opened.Tokenizer().Hash())

	o.Vocab, o.Own = 5, nil
	_, err = Open(t.Context(), o)
	require.ErrorContains(t, err, "outside of the vocabulary of 5")
}

// All of a token file is read once, in order, whatever the run does with it.
func TestWholeTokens(t *testing.T) {
	for _, n := range []int{2*48 + 1, 5*48 + 1, 5*48 + 30} {
		values := make([]uint16, n)
		for i := range values {
			values[i] = uint16(i)
		}
		o := options(ids(t, values...))
		o.Shuffle, o.Whole = true, true
		for _, rows := range []int{1, 2, 3, 8} {
			opened, err := Open(t.Context(), o)
			require.NoError(t, err)
			for range 2 { // each time from the beginning
				src, err := opened.Validation()
				require.NoError(t, err)
				inputs, targets := read(t, src, rows, o.Seq)
				require.Len(t, inputs, (n-1)/48*48)
				for i := range inputs {
					require.EqualValues(t, i, inputs[i])
					require.EqualValues(t, i+1, targets[i])
				}
			}
		}
	}
}

// A task that brings its own tokenizer refuses another one.
func TestOpenWithItsOwnTokenizer(t *testing.T) {
	other, dir := characters(t, "abc")
	for _, name := range []string{"arithmetic", "tictactoe"} {
		o := options(name)
		opened, err := Open(t.Context(), o)
		require.NoError(t, err)
		require.NotNil(t, opened.Tokenizer())
		held, err := opened.Validation()
		require.NoError(t, err)
		inputs, _ := read(t, held, 8, o.Seq)
		require.NotEmpty(t, inputs)

		same := o
		same.Own = opened.Tokenizer()
		_, err = Open(t.Context(), same)
		require.NoError(t, err)
		foreign := o
		foreign.Own = other
		_, err = Open(t.Context(), foreign)
		require.ErrorContains(t, err, "trained with a different tokenizer")
		named := o
		named.Settings.Tokenizer = dir
		_, err = Open(t.Context(), named)
		require.ErrorContains(t, err, "has a tokenizer of its own: leave out --tokenizer "+dir)
		small := o
		small.Vocab = opened.Tokenizer().Size() - 1
		_, err = Open(t.Context(), small)
		require.ErrorContains(t, err, "is too small for ")
	}
}

// writing opens text and waits until its shards are complete; notes are what it
// said meanwhile.
func writing(t *testing.T, o task.Options) (task.Task, []string) {
	t.Helper()
	var mu sync.Mutex
	var notes []string
	complete := make(chan struct{}, 1)
	o.Note = func(s string) {
		mu.Lock()
		defer mu.Unlock()
		notes = append(notes, s)
		if strings.HasPrefix(s, "the token shards are complete") {
			complete <- struct{}{}
		}
	}
	opened, err := Open(t.Context(), o)
	require.NoError(t, err)
	mu.Lock()
	made := strings.Contains(strings.Join(notes, "\n"), "making token shards")
	mu.Unlock()
	if made {
		select {
		case <-complete:
		case <-time.After(time.Minute):
			t.Fatal("the shards are not made")
		}
	}
	mu.Lock()
	defer mu.Unlock()
	return opened, notes
}

// storyFile writes a text, and lets caches be in an empty folder; prepared are
// the folders of what is made of text there.
func storyFile(t *testing.T) (source, story string, prepared func() []string) {
	t.Helper()
	cache := t.TempDir()
	for _, name := range []string{"HOME", "XDG_CACHE_HOME", "LocalAppData"} {
		t.Setenv(name, cache)
	}
	where, err := os.UserCacheDir()
	require.NoError(t, err)
	var b strings.Builder
	for i := range 400 {
		fmt.Fprintf(&b, "the %dth cat sat on mat %d and saw %d birds. ", i, i*i, 7*i)
	}
	story = strings.TrimSpace(b.String())
	path := filepath.Join(t.TempDir(), "story.txt")
	require.NoError(t, os.WriteFile(path, []byte(story), 0o644))
	return "text:" + path, story, func() []string {
		found, err := filepath.Glob(filepath.Join(where, "bitnet", "text", "*"))
		require.NoError(t, err)
		return found
	}
}

// A model's own tokenizer is that of the shards that it is trained on. The run
// that trained the tokenizer itself finds the shards of its first start again.
func TestTextKeepsTheModelsTokenizer(t *testing.T) {
	source, story, prepared := storyFile(t)
	o := options(source)
	first, notes := writing(t, o)
	require.Contains(t, strings.Join(notes, "\n"), "training a tokenizer of 320 tokens")
	require.Len(t, prepared(), 1)

	resumed := o
	resumed.Own = first.Tokenizer()
	again, notes := writing(t, resumed)
	require.NotContains(t, strings.Join(notes, "\n"), "making")
	require.NotContains(t, strings.Join(notes, "\n"), "training a tokenizer")
	require.Equal(t, first.Tokenizer().Hash(), again.Tokenizer().Hash())
	require.Len(t, prepared(), 1, "the shards are found again")
	a, b := data.NewBatch(4, o.Seq), data.NewBatch(4, o.Seq)
	require.NoError(t, first.Train().Seek(data.Position{}))
	require.NoError(t, first.Train().Next(a))
	require.NoError(t, again.Train().Next(b))
	require.Equal(t, a, b)

	// A model of another tokenizer makes shards of its own, and finds those.
	foreign, dir := characters(t, "abcdefghijklmnopqrstuvwxyz0123456789. ")
	other := o
	other.Own = foreign
	for range 2 {
		third, _ := writing(t, other)
		require.Equal(t, foreign.Hash(), third.Tokenizer().Hash())
		require.Len(t, prepared(), 2)
		require.NoError(t, third.Train().Next(a))
		require.Contains(t, "<s>"+story, foreign.Decode(a.Inputs[:o.Seq]))
	}
	hashes := map[string]bool{}
	for _, p := range prepared() {
		m, err := shard.ReadManifest(filepath.Join(p, "shards"))
		require.NoError(t, err)
		require.True(t, m.Complete)
		hashes[m.Tokenizer] = true
	}
	require.Equal(t, map[string]bool{first.Tokenizer().Hash(): true, foreign.Hash(): true}, hashes)

	// --tokenizer may name the model's own, and no other.
	other.Settings.Tokenizer = dir
	same, _ := writing(t, other)
	require.Equal(t, foreign.Hash(), same.Tokenizer().Hash())
	other.Own = first.Tokenizer()
	_, err := Open(t.Context(), other)
	require.ErrorContains(t, err, "a different tokenizer than the model was trained with")
}

// A folder that data.dir names is not used with a tokenizer that it was not made with.
func TestTextFolderOfAnotherTokenizer(t *testing.T) {
	source, _, prepared := storyFile(t)
	o := options(source)
	o.Dir = filepath.Join(t.TempDir(), "prepared")
	first, _ := writing(t, o)
	require.FileExists(t, filepath.Join(o.Dir, "tokenizer", "tokenizer.json"))
	require.Empty(t, prepared())

	o.Own = first.Tokenizer()
	_, notes := writing(t, o)
	require.NotContains(t, strings.Join(notes, "\n"), "making")
	o.Own, _ = characters(t, "abcdefghijklmnopqrstuvwxyz0123456789. ")
	_, err := Open(t.Context(), o)
	require.ErrorContains(t, err, "set data.dir to a different folder")
	require.NotContains(t, err.Error(), "\n")
	require.Empty(t, prepared())
}

// All of a text is read once, whatever share of it a run would hold out.
func TestWholeText(t *testing.T) {
	source, story, _ := storyFile(t)
	own, _ := characters(t, "abcdefghijklmnopqrstuvwxyz0123456789. ")
	o := options(source)
	o.HeldOut, o.Shuffle, o.Whole, o.Own = 0.5, true, true, own
	for range 2 { // what was made is used again
		opened, err := Open(t.Context(), o)
		require.NoError(t, err)
		src, err := opened.Validation()
		require.NoError(t, err)
		inputs, targets := read(t, src, 3, o.Seq)
		all := "<s>" + story + "</s>"
		require.True(t, strings.HasPrefix(all, own.Decode(inputs)))
		require.Equal(t, inputs[1:], targets[:len(targets)-1])
		require.Greater(t, len(inputs), len(story)-o.Seq, "only what does not fill a window is left out")
	}
}
