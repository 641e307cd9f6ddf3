package shard

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"bitnet/data/mapped"

	"github.com/stretchr/testify/require"
)

func writeShard(t testing.TB, path string, vocab int, docs [][]uint32) {
	t.Helper()
	w, err := create(path, vocab, "a-tokenizer")
	require.NoError(t, err)
	for _, d := range docs {
		require.NoError(t, w.add(d))
	}
	_, err = os.Stat(path)
	require.ErrorIs(t, err, os.ErrNotExist, "in its place before it is whole")
	require.NoError(t, w.finish())
}

func randomDocs(seed uint64, n, vocab int) [][]uint32 {
	r := rand.New(rand.NewPCG(seed, 1))
	docs := make([][]uint32, n)
	for i := range docs {
		docs[i] = make([]uint32, r.IntN(50))
		for j := range docs[i] {
			docs[i][j] = uint32(r.IntN(vocab))
		}
	}
	return docs
}

func TestShardRoundTrip(t *testing.T) {
	for _, vocab := range []int{300, 1 << 16, 1<<16 + 1, 200_000} {
		for _, n := range []int{0, 1, 2, 3, 30_000} {
			path := filepath.Join(t.TempDir(), "a.shard")
			docs := randomDocs(uint64(n), n, vocab)
			writeShard(t, path, vocab, docs)
			s, err := Open(path)
			require.NoError(t, err)
			require.EqualValues(t, n, s.Documents())
			require.Equal(t, "a-tokenizer", s.Tokenizer())
			require.Equal(t, map[bool]int{true: 2, false: 4}[vocab <= 1<<16], s.width)
			total := 0
			for i, d := range docs {
				got, err := s.Document(nil, int64(i))
				require.NoError(t, err)
				if !slices.Equal(d, got) {
					require.Equal(t, d, got)
				}
				total += len(d)
			}
			require.EqualValues(t, total, s.Len())
			_, err = s.Document(nil, int64(n))
			require.Error(t, err)
			require.NoError(t, s.Close())
		}
	}
}

func TestShardDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.shard")
	writeShard(t, path, 300, randomDocs(1, 12, 300))
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	for i := range good { // every byte counts
		bad := append([]byte(nil), good...)
		bad[i] ^= 1 << (i % 8)
		require.NoError(t, os.WriteFile(path, bad, 0o644))
		_, err := Open(path)
		require.ErrorContains(t, err, path, "byte %d", i)
		require.ErrorContains(t, err, "prepare the data again")
	}
	for n := range good {
		require.NoError(t, os.WriteFile(path, good[:n], 0o644))
		_, err := Open(path)
		require.ErrorContains(t, err, path)
	}
	require.NoError(t, os.WriteFile(path, append(good, 0), 0o644))
	_, err = Open(path)
	require.ErrorContains(t, err, "cut or damaged")
}

func TestShardCutWhileRead(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a mapped file cannot be cut on Windows")
	}
	path := filepath.Join(t.TempDir(), "a.shard")
	writeShard(t, path, 300, [][]uint32{make([]uint32, 1<<16)})
	s, err := Open(path)
	require.NoError(t, err)
	defer s.Close()
	require.NoError(t, os.Truncate(path, 0))
	_, err = s.Document(nil, 0)
	require.ErrorIs(t, err, mapped.ErrCut)
}

func FuzzShard(f *testing.F) {
	dir := f.TempDir()
	for i, vocab := range []int{300, 100_000} {
		path := filepath.Join(dir, fmt.Sprint(i))
		writeShard(f, path, vocab, randomDocs(2, 5, vocab))
		b, err := os.ReadFile(path)
		require.NoError(f, err)
		f.Add(b)
	}
	path := filepath.Join(dir, "fuzz.shard")
	f.Fuzz(func(t *testing.T, b []byte) {
		require.NoError(t, os.WriteFile(path, b, 0o644))
		s, err := Open(path)
		if err != nil {
			return
		}
		defer s.Close()
		n := int64(0)
		for i := range s.Documents() {
			d, err := s.Document(nil, i)
			require.NoError(t, err)
			n += int64(len(d))
		}
		require.True(t, n == s.Len() || s.Documents() == 0)
	})
}
