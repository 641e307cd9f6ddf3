package data

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"bitnet/data/mapped"

	"github.com/stretchr/testify/require"
)

var _ Source = (*Tokens)(nil)

// writeIDs writes 0..n-1, or what at says, and returns the path.
func writeIDs(t testing.TB, n int, wide bool, at func(int) uint32) string {
	t.Helper()
	var buf bytes.Buffer
	for i := range n {
		v := uint32(i)
		if at != nil {
			v = at(i)
		}
		if wide {
			binary.Write(&buf, binary.LittleEndian, v)
		} else {
			binary.Write(&buf, binary.LittleEndian, uint16(v))
		}
	}
	path := filepath.Join(t.TempDir(), "ids")
	require.NoError(t, os.WriteFile(path, buf.Bytes(), 0o644))
	return path
}

func openTokens(t testing.TB, path string, wide, shuffle bool, seed uint64, seq, vocab int) *Tokens {
	t.Helper()
	s, err := OpenTokens(path, wide, shuffle, seed, seq, vocab)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func TestTokensInOrder(t *testing.T) {
	for _, wide := range []bool{false, true} {
		const seq, rows, accum = 5, 3, 2
		s := openTokens(t, writeIDs(t, 1000, wide, nil), wide, false, 0, seq, 1000)
		require.EqualValues(t, 199, s.Windows())
		b := NewBatch(rows, seq)
		for step := range 20 {
			for m := range accum {
				require.NoError(t, s.Next(b))
				for r := range rows {
					start := ((step*accum+m)*rows + r) * seq
					for i := range seq {
						require.EqualValues(t, start+i, b.Inputs[r*seq+i])
						require.EqualValues(t, start+i+1, b.Targets[r*seq+i])
					}
				}
			}
		}
		require.Equal(t, Position{Offset: 120}, s.Position())
	}
}

func TestTokensWrapInsideABatch(t *testing.T) {
	s := openTokens(t, writeIDs(t, 16, false, nil), false, false, 0, 5, 16) // 3 windows
	b := NewBatch(2, 5)
	require.NoError(t, s.Next(b))
	require.NoError(t, s.Next(b))
	require.EqualValues(t, 10, b.Inputs[0])
	require.EqualValues(t, 15, b.Targets[4])
	require.EqualValues(t, 0, b.Inputs[5])
	require.Equal(t, Position{Epoch: 1, Offset: 1}, s.Position())
}

func TestTokensShuffle(t *testing.T) {
	const seq, windows = 4, 50
	path := writeIDs(t, windows*seq+1, false, nil)
	epoch := func(s *Tokens) []uint32 {
		b := NewBatch(1, seq)
		var first []uint32
		for range windows {
			require.NoError(t, s.Next(b))
			require.Equal(t, b.Inputs[1:], b.Targets[:seq-1])
			require.Equal(t, b.Inputs[0]+seq, b.Targets[seq-1])
			first = append(first, b.Inputs[0]/seq)
		}
		return first
	}
	all := make([]uint32, windows)
	for i := range all {
		all[i] = uint32(i)
	}
	a := openTokens(t, path, false, true, 1, seq, 1000)
	a0, a1 := epoch(a), epoch(a)
	require.ElementsMatch(t, all, a0)
	require.ElementsMatch(t, all, a1)
	require.NotEqual(t, a0, a1)
	require.NotEqual(t, all, a0)
	again := openTokens(t, path, false, true, 1, seq, 1000)
	require.Equal(t, a0, epoch(again))
	other := openTokens(t, path, false, true, 2, seq, 1000)
	require.NotEqual(t, a0, epoch(other))
}

func TestTokensSeek(t *testing.T) {
	for _, shuffle := range []bool{false, true} {
		path := writeIDs(t, 100, false, nil)
		s := openTokens(t, path, false, shuffle, 9, 7, 100) // 14 windows
		want, got := NewBatch(3, 7), NewBatch(3, 7)
		for range 20 {
			p := s.Position()
			require.NoError(t, s.Next(want))
			fresh := openTokens(t, path, false, shuffle, 9, 7, 100)
			require.NoError(t, fresh.Seek(p))
			require.Equal(t, p, fresh.Position())
			require.NoError(t, fresh.Next(got))
			require.Equal(t, want, got)
		}
		for _, bad := range []Position{{0, -1}, {-1, 0}, {0, 14}} {
			require.ErrorContains(t, s.Seek(bad), "resume with the data")
		}
	}
}

func TestTokensRefused(t *testing.T) {
	bad := func(i int) uint32 {
		if i == 77 {
			return 500
		}
		return uint32(i)
	}
	for _, c := range []struct {
		name       string
		path       string
		wide       bool
		seq, vocab int
		want       string
	}{
		{"short", writeIDs(t, 8, false, nil), false, 8, 100, "too few"},
		{"empty", writeIDs(t, 0, false, nil), false, 8, 100, "too few"},
		{"odd", writeIDs(t, 101, false, nil), true, 8, 200, "not whole uint32"},
		{"narrow id", writeIDs(t, 100, false, bad), false, 8, 500, "id 500 at offset 77 (byte 154)"},
		{"wide id", writeIDs(t, 100, true, bad), true, 8, 500, "id 500 at offset 77 (byte 308)"},
		{"seq", writeIDs(t, 100, true, nil), true, 0, 500, "must be positive"},
		{"vocab", writeIDs(t, 100, true, nil), true, 1, 0, "must be positive"},
	} {
		_, err := OpenTokens(c.path, c.wide, false, 0, c.seq, c.vocab)
		require.ErrorContains(t, err, c.want, c.name)
		require.ErrorContains(t, err, c.path, c.name)
	}
	_, err := OpenTokens(filepath.Join(t.TempDir(), "none"), false, false, 0, 1, 10)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// A bad id behind the part that is checked at opening is found when its window
// is read, and leaves the position where it was.
func TestTokensLateBadID(t *testing.T) {
	const n, at = checkedAtOpen + 64, checkedAtOpen + 3
	raw := make([]byte, 2*n)
	binary.LittleEndian.PutUint16(raw[2*at:], 300)
	path := filepath.Join(t.TempDir(), "ids")
	require.NoError(t, os.WriteFile(path, raw, 0o644))
	s := openTokens(t, path, false, false, 1, 32, 300)
	require.NoError(t, s.Seek(Position{Offset: at/32 - 1}))
	b := NewBatch(2, 32)
	err := s.Next(b)
	require.ErrorContains(t, err, "id 300 at offset 4194307")
	require.Equal(t, Position{Offset: at/32 - 1}, s.Position())
}

func TestTokensCutWhileRead(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a mapped file cannot be cut on Windows")
	}
	path := writeIDs(t, 1<<16, false, func(int) uint32 { return 1 })
	s := openTokens(t, path, false, false, 0, 64, 10)
	require.NoError(t, os.Truncate(path, 0))
	require.ErrorIs(t, s.Next(NewBatch(2, 64)), mapped.ErrCut)
	require.NoError(t, s.Close())
	require.ErrorContains(t, s.Next(NewBatch(2, 64)), "closed")
	require.ErrorContains(t, s.Next(NewBatch(2, 32)), "opened for sequences of 64")
}

func BenchmarkTokensNext(b *testing.B) {
	for _, c := range []struct {
		name          string
		wide, shuffle bool
	}{{"u16", false, false}, {"u16-shuffle", false, true}, {"u32-shuffle", true, true}} {
		b.Run(c.name, func(b *testing.B) {
			width := 2
			if c.wide {
				width = 4
			}
			path := filepath.Join(b.TempDir(), "ids")
			require.NoError(b, os.WriteFile(path, make([]byte, width<<24), 0o644))
			s := openTokens(b, path, c.wide, c.shuffle, 1, 256, 100)
			batch := NewBatch(16, 256)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if err := s.Next(batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*16*256/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}
