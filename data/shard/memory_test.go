package shard

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/data"
	"bitnet/data/text"
)

// live is how many bytes are in use, without garbage.
func live() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// shortDocuments writes n documents of a few bytes each, one at a time.
func shortDocuments(t *testing.T, n int) []Input {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "short.jsonl"))
	require.NoError(t, err)
	w := bufio.NewWriter(f)
	for i := range n {
		fmt.Fprintf(w, "{\"text\": \"no %d\"}\n", i%997) // few words: the tokenizer remembers some
	}
	require.NoError(t, w.Flush())
	require.NoError(t, f.Close())
	found, err := text.Find(context.Background(), dir)
	require.NoError(t, err)
	inputs, err := LocalInputs(found)
	require.NoError(t, err)
	return inputs
}

// growth is the most memory that is in use while n short documents become shards, and
// while a loader reads them all, above what was in use before.
func growth(t *testing.T, n int) (prepare, load int64) {
	ctx := context.Background()
	o := Options{Tokenizer: testTokenizer(t), Inputs: shortDocuments(t, n), ShardIDs: 1 << 17, Workers: 1}
	before := live()
	o.Progress = func(Progress) { prepare = max(prepare, int64(live())-int64(before)) }
	dir := t.TempDir()
	m, err := Prepare(ctx, dir, o)
	require.NoError(t, err)
	train, val, _ := m.Totals()
	require.EqualValues(t, n, train.Documents+val.Documents)
	require.Positive(t, prepare, "progress was reported")

	before = live()
	l, err := OpenLoader(ctx, dir, LoadOptions{Seq: 32, Shuffle: true, Once: true})
	require.NoError(t, err)
	defer l.Close()
	b := data.NewBatch(64, 32)
	rows := 0
	for {
		err := l.Next(b)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if rows++; rows%16 == 0 {
			load = max(load, int64(live())-int64(before))
		}
	}
	require.Greater(t, rows, 16, "so many batches that memory was looked at")
	return prepare, max(load, int64(live())-int64(before))
}

// Memory does not grow with the number of documents: many need no more than few,
// though a single word for each would be more than the bound. What is in use differs
// by up to 3 MiB from moment to moment: chunks on their way, encoders in the pool.
func TestMemoryIsFlatOverDocuments(t *testing.T) {
	const few, many = 15_000, 600_000
	var prepareFew, loadFew int64
	for range 3 {
		prepare, load := growth(t, few)
		prepareFew, loadFew = max(prepareFew, prepare), max(loadFew, load)
	}
	prepareMany, loadMany := growth(t, many)
	t.Logf("%d documents: %d and %d KiB to prepare and load; %d documents: %d and %d KiB", few, prepareFew>>10, loadFew>>10, many, prepareMany>>10, loadMany>>10)
	const bound = 8 * (many - few)
	require.Less(t, prepareMany-prepareFew, int64(bound))
	require.Less(t, loadMany-loadFew, int64(bound))
}
