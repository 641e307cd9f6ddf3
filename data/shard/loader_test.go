package shard

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"bitnet/data"

	"github.com/stretchr/testify/require"
)

var _ data.Source = (*Loader)(nil)

func prepared(t testing.TB, texts []string, shardIDs int64) string {
	t.Helper()
	dir := t.TempDir()
	_, err := Prepare(t.Context(), dir, Options{Tokenizer: testTokenizer(t), Inputs: corpus(t, texts, 500), ShardIDs: shardIDs, HeldOut: 0.05})
	require.NoError(t, err)
	return dir
}

func loader(t testing.TB, dir string, o LoadOptions) *Loader {
	t.Helper()
	l, err := OpenLoader(t.Context(), dir, o)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

// windows lists all windows of a side, in the order of the files.
func windows(t testing.TB, dir string, seq int, val bool) [][]uint32 {
	t.Helper()
	m, err := ReadManifest(dir)
	require.NoError(t, err)
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
		var ids []uint32
		for i := range s.Documents() {
			ids, err = s.Document(ids, i)
			require.NoError(t, err)
		}
		require.NoError(t, s.Close())
		for at := 0; at+seq < len(ids); at += seq {
			all = append(all, ids[at:at+seq+1])
		}
	}
	return all
}

// epoch reads n rows one by one, as windows.
func epoch(t testing.TB, l *Loader, n int) [][]uint32 {
	t.Helper()
	b := data.NewBatch(1, l.o.Seq)
	var all [][]uint32
	for range n {
		require.NoError(t, l.Next(b))
		require.Equal(t, b.Inputs[1:], b.Targets[:l.o.Seq-1])
		all = append(all, append(slices.Clone(b.Inputs), b.Targets[l.o.Seq-1]))
	}
	return all
}

func TestLoader(t *testing.T) {
	dir := prepared(t, stories(2000), 15_000)
	for _, seq := range []int{1, 7, 64} {
		for _, val := range []bool{false, true} {
			want := windows(t, dir, seq, val)
			n := len(want)
			plain := loader(t, dir, LoadOptions{Seq: seq, Val: val})
			got, complete := plain.Windows()
			require.True(t, complete)
			require.EqualValues(t, n, got)
			require.Equal(t, want, epoch(t, plain, n))
			require.Equal(t, want, epoch(t, plain, n)) // and again, in order
		}
	}
}

func sorted(w [][]uint32) [][]uint32 {
	w = slices.Clone(w)
	slices.SortFunc(w, slices.Compare)
	return w
}

func TestLoaderShuffle(t *testing.T) {
	dir := prepared(t, stories(2000), 15_000)
	const seq = 32
	want := windows(t, dir, seq, false)
	n := len(want)
	o := LoadOptions{Seq: seq, Shuffle: true, Seed: 1}
	a := loader(t, dir, o)
	first, second := epoch(t, a, n), epoch(t, a, n)
	require.Equal(t, sorted(want), sorted(first))
	require.Equal(t, sorted(want), sorted(second))
	require.NotEqual(t, want, first)
	require.NotEqual(t, first, second)
	require.Equal(t, append(slices.Clone(first), second...), epoch(t, loader(t, dir, o), 2*n))
	o.Seed = 2
	require.NotEqual(t, first, epoch(t, loader(t, dir, o), n))

	// From the second epoch on the shards are in another order as well.
	m := a.Manifest()
	k := int(m.Shards[0].Train.IDs-1) / seq
	require.Equal(t, sorted(want[:k]), sorted(first[:k]))
	moved := false
	for e := uint64(2); e < 6; e++ { // some seed moves shard 0 away
		o.Seed = e
		l := loader(t, dir, o)
		require.NoError(t, l.Seek(data.Position{Epoch: 1}))
		moved = moved || !slices.EqualFunc(sorted(want[:k]), sorted(epoch(t, l, k)), slices.Equal)
	}
	require.True(t, moved)
}

func TestLoaderSeek(t *testing.T) {
	dir := prepared(t, stories(1500), 15_000)
	const seq, rows = 64, 3
	for _, shuffle := range []bool{false, true} {
		o := LoadOptions{Seq: seq, Shuffle: shuffle, Seed: 3}
		l := loader(t, dir, o)
		n, _ := l.Windows()
		want, got := data.NewBatch(rows, seq), data.NewBatch(rows, seq)
		again := loader(t, dir, o)
		for i := 0; i < int(2*n)/rows+5; i++ {
			p := l.Position()
			require.NoError(t, l.Next(want))
			if i%7 != 0 && p.Offset > 3 && p.Offset+5 < n {
				continue
			}
			require.NoError(t, again.Seek(p))
			require.NoError(t, again.Next(got))
			require.Equal(t, want, got, "at %v", p)
			require.Equal(t, l.Position(), again.Position())
		}
		require.EqualValues(t, 2, l.Position().Epoch)
		before := l.Position()
		for _, bad := range []data.Position{{Epoch: -1}, {Offset: -1}, {Offset: n + 1}} {
			require.Error(t, l.Seek(bad))
			require.Equal(t, before, l.Position())
		}
	}
}

// What a Loader gives does not depend on whether the folder was complete when
// it was opened.
func TestLoaderWhileItGrows(t *testing.T) {
	texts := stories(2000)
	done := prepared(t, texts, 15_000)
	const seq, rows = 32, 5
	o := LoadOptions{Seq: seq, Shuffle: true, Seed: 9}
	want := loader(t, done, o)
	n, _ := want.Windows()

	inputs := corpus(t, texts, 500)
	gates := make([]chan struct{}, len(inputs))
	for i := range inputs {
		open := inputs[i].Open
		gates[i] = make(chan struct{})
		inputs[i].Open = func(ctx context.Context) (string, error) {
			<-gates[i]
			return open(ctx)
		}
	}
	for _, g := range gates[:2] {
		close(g)
	}
	dir := t.TempDir()
	// The sample that the threshold is chosen from must not wait for the rest.
	sampled := make(chan struct{})
	go func() {
		<-sampled
		for _, g := range gates[2:] {
			close(g)
		}
	}()
	full := Options{Tokenizer: testTokenizer(t), Inputs: corpus(t, texts, 500), ShardIDs: 15_000, HeldOut: 0.05}
	plan, err := Begin(t.Context(), dir, full)
	require.NoError(t, err)
	require.NoError(t, plan.lock.Unlock())
	full.Inputs = inputs
	m, err := ReadManifest(dir)
	require.NoError(t, err)
	for i := range inputs {
		m.Inputs[i] = inputs[i].Named // the same files at another place
	}
	require.NoError(t, m.write(dir))
	job, err := Begin(t.Context(), dir, full)
	require.NoError(t, err)
	finished := make(chan error, 1)
	go func() {
		_, err := job.Run(t.Context())
		finished <- err
	}()

	l := loader(t, dir, o)
	a, b := data.NewBatch(rows, seq), data.NewBatch(rows, seq)
	for i := range int(2*n) / rows {
		require.NoError(t, want.Next(a))
		require.NoError(t, l.Next(b))
		require.Equal(t, a, b)
		if i == 20 {
			_, complete := l.Windows()
			require.False(t, complete, "trained before all was there")
			close(sampled)
		}
	}
	require.NoError(t, <-finished)
	require.Equal(t, want.Position(), l.Position())
}

func TestLoaderOfADeadPrepare(t *testing.T) {
	texts := stories(2000)
	inputs := corpus(t, texts, 500)
	dir := t.TempDir()
	opened := 0
	for i := range inputs {
		open := inputs[i].Open
		inputs[i].Open = func(ctx context.Context) (string, error) {
			if opened++; opened > 4+3 { // four for the sample
				return "", os.ErrDeadlineExceeded
			}
			return open(ctx)
		}
	}
	_, err := Prepare(t.Context(), dir, Options{Tokenizer: testTokenizer(t), Inputs: inputs, ShardIDs: 15_000})
	require.ErrorContains(t, err, "run the same command again to resume")
	l := loader(t, dir, LoadOptions{Seq: 32, Shuffle: true})
	n, complete := l.Windows()
	require.False(t, complete)
	require.Positive(t, n)
	b := data.NewBatch(1, 32)
	for range n {
		require.NoError(t, l.Next(b))
	}
	at := l.Position()
	require.ErrorContains(t, l.Next(b), "no process is preparing it")
	require.Equal(t, at, l.Position())

	// While somebody holds the lock it waits, until its context ends.
	ctx, cancel := context.WithCancel(t.Context())
	waiting, err := OpenLoader(ctx, dir, LoadOptions{Seq: 32, Shuffle: true})
	require.NoError(t, err)
	defer waiting.Close()
	opened = -100
	job, err := Begin(t.Context(), dir, Options{Tokenizer: testTokenizer(t), Inputs: inputs, ShardIDs: 15_000})
	require.NoError(t, err)
	go cancel()
	require.ErrorIs(t, waiting.Seek(at), context.Canceled)
	_, err = job.Run(t.Context())
	require.NoError(t, err)
	require.NoError(t, l.Next(b)) // and after the rest was made it goes on
}

func TestLoaderOnce(t *testing.T) {
	dir := prepared(t, stories(2000), 15_000)
	const seq, rows = 32, 7
	want := windows(t, dir, seq, true)
	require.NotZero(t, len(want)%rows)
	m, err := ReadManifest(dir)
	require.NoError(t, err)
	m.Complete = false // whether more will come does not matter
	require.NoError(t, m.write(dir))
	l := loader(t, dir, LoadOptions{Seq: seq, Val: true, Once: true})
	b := data.NewBatch(rows, seq)
	for range 2 {
		var got [][]uint32
		for {
			err := l.Next(b)
			if err == io.EOF {
				break
			}
			require.NoError(t, err)
			for r := range rows {
				if b.Targets[r*seq] == data.Ignore {
					require.Len(t, got, len(want))
					continue
				}
				got = append(got, append(slices.Clone(b.Inputs[r*seq:][:seq]), b.Targets[(r+1)*seq-1]))
			}
		}
		require.Equal(t, want, got)
		require.ErrorIs(t, l.Next(b), io.EOF)
		require.NoError(t, l.Seek(data.Position{}))
	}
}

func TestLoaderRefuses(t *testing.T) {
	dir := prepared(t, stories(300), 1<<20)
	_, err := OpenLoader(t.Context(), dir, LoadOptions{Seq: 8, Tokenizer: "other"})
	require.ErrorContains(t, err, "a different tokenizer")
	_, err = OpenLoader(t.Context(), dir, LoadOptions{})
	require.ErrorContains(t, err, "sequence length")
	_, err = OpenLoader(t.Context(), t.TempDir(), LoadOptions{Seq: 8})
	require.ErrorContains(t, err, "bitnet data prepare")
	l := loader(t, dir, LoadOptions{Seq: 8, Tokenizer: testTokenizer(t).Hash()})
	require.ErrorContains(t, l.Next(data.NewBatch(1, 9)), "opened for sequences of 8")
	long := loader(t, dir, LoadOptions{Seq: 1 << 20})
	require.ErrorContains(t, long.Next(data.NewBatch(1, 1<<20)), "shorter sequence")

	// A shard of another tokenizer in the place of the right one.
	m := l.Manifest()
	path := filepath.Join(dir, m.Shards[0].Train.Name)
	require.NoError(t, os.Remove(path))
	w, err := create(path, m.Vocab, "another")
	require.NoError(t, err)
	require.NoError(t, w.add(make([]uint32, m.Shards[0].Train.IDs)))
	require.NoError(t, w.finish())
	require.ErrorContains(t, l.Next(data.NewBatch(1, 8)), "not the shard that the manifest lists")

	// Ids that no tokenizer of this vocabulary gives.
	require.NoError(t, os.Remove(path))
	w, err = create(path, m.Vocab, m.Tokenizer)
	require.NoError(t, err)
	ids := make([]uint32, m.Shards[0].Train.IDs)
	ids[5] = uint32(m.Vocab)
	require.NoError(t, w.add(ids))
	require.NoError(t, w.finish())
	require.ErrorContains(t, l.Next(data.NewBatch(1, 8)), "id 5 is outside of the vocabulary")
	require.Equal(t, data.Position{}, l.Position())
}

func BenchmarkLoader(b *testing.B) {
	dir := b.TempDir()
	m := &Manifest{Plan: Plan{Version: version, Vocab: 32_000, Tokenizer: "t", Inputs: []Named{{}}}, Complete: true}
	for _, name := range []string{"train-00000.shard", "train-00001.shard"} {
		w, err := create(filepath.Join(dir, name), 32_000, "t")
		require.NoError(b, err)
		for range 1 << 14 {
			require.NoError(b, w.add(make([]uint32, 1<<10)))
		}
		require.NoError(b, w.finish())
		m.Shards = append(m.Shards, Entry{Train: File{Name: name, IDs: 1 << 24, Documents: 1 << 14}})
	}
	require.NoError(b, m.write(dir))
	l := loader(b, dir, LoadOptions{Seq: 256, Shuffle: true, Seed: 1})
	batch := data.NewBatch(16, 256)
	require.NoError(b, l.Next(batch))
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Next(batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*16*256/b.Elapsed().Seconds(), "tokens/s")
}
