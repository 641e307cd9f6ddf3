package tictactoe

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/data"
)

var _ data.Source = (*Source)(nil)

func newSource(t testing.TB, o Options) *Source {
	t.Helper()
	s, err := NewSource(o)
	require.NoError(t, err)
	return s
}

func board(t testing.TB, moves string) Board {
	t.Helper()
	var b Board
	for _, c := range moves {
		require.NoError(t, b.Play(int(c-'0')), moves)
	}
	return b
}

func TestBoard(t *testing.T) {
	for _, c := range []struct {
		moves        string
		turn, winner byte
		legal        []int
	}{
		{"", 'X', 0, []int{1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{"5", 'O', 0, []int{1, 2, 3, 4, 6, 7, 8, 9}},
		{"51379", 'O', 0, []int{2, 4, 6, 8}},
		{"14253", 0, 'X', nil},
		{"512837469", 0, 0, nil},
		{"5128", 'X', 0, []int{3, 4, 6, 7, 9}},
		{"91827", 0, 'X', nil},
		{"415273", 0, 'O', nil},
	} {
		b := board(t, c.moves)
		require.Equal(t, c.moves, b.Text())
		require.Equal(t, c.turn, b.Turn(), c.moves)
		require.Equal(t, c.winner, b.Winner(), c.moves)
		require.Equal(t, c.legal, b.Legal(), c.moves)
		require.Equal(t, c.legal == nil, b.Over(), c.moves)
		for i, m := range c.moves {
			require.Equal(t, "XO"[i%2], b.Mark(int(m-'0')), c.moves)
		}
	}
}

func TestEveryLineWins(t *testing.T) {
	for set := range uint16(1 << cells) {
		held := func(row, column int) bool { return set>>(3*row+column)&1 == 1 }
		want := held(0, 0) && held(1, 1) && held(2, 2) || held(0, 2) && held(1, 1) && held(2, 0)
		for i := range 3 {
			want = want || held(i, 0) && held(i, 1) && held(i, 2) || held(0, i) && held(1, i) && held(2, i)
		}
		require.Equal(t, want, hasLine(set), "%09b", set)
	}
}

func TestBoardRefuses(t *testing.T) {
	b := board(t, "5")
	for cell, want := range map[int]string{0: "no cell 0", 10: "no cell 10", -3: "no cell -3", 5: "cell 5 is taken"} {
		before := b
		require.ErrorContains(t, b.Play(cell), want)
		require.Equal(t, before, b)
	}
	require.Zero(t, b.Mark(0))
	require.Zero(t, b.Mark(10))
	b = board(t, "14253")
	require.ErrorContains(t, b.Play(9), "the game is over")
	require.Zero(t, perfectMove(b))
}

// The numbers of tic-tac-toe are known: 255,168 games, 549,946 beginnings of
// games, 5,478 positions of which 958 are over, and a draw between perfect players.
func TestCountGames(t *testing.T) {
	games, nodes := 0, 0
	over := map[position]bool{}
	var walk func(p position)
	walk = func(p position) {
		nodes++
		if p.over() {
			games++
			over[p] = true
			return
		}
		for cell := 1; cell <= cells; cell++ {
			if p.free()&(1<<(cell-1)) != 0 {
				walk(p.play(cell))
			}
		}
	}
	walk(position{})
	require.Equal(t, 255168, games)
	require.Equal(t, 549946, nodes)
	require.Len(t, over, 958)
	require.Len(t, solved(), 5478-958)
	require.Zero(t, solved()[position{}].value)
}

func TestPerfectMove(t *testing.T) {
	for moves, want := range map[string]int{
		"":       5,
		"1":      5, // anything else loses
		"5":      1, // an edge loses
		"1425":   3, // win at once, do not defend
		"154":    7, // stop 1 4 7
		"12":     0, // any, but it must win: below
		"159":    2, // the trap of the corners: an edge holds
		"152847": 3, // stop 7 5 3
	} {
		b := board(t, moves)
		got := perfectMove(b)
		if want != 0 {
			require.Equal(t, want, got, moves)
		}
		require.Contains(t, b.Legal(), got)
	}
	require.Positive(t, solved()[board(t, "12").position].value)
}

// No game that a perfect player can come into is lost, by definition of the
// rules and not of the solver.
func TestPerfectNeverLoses(t *testing.T) {
	for _, perfect := range []byte{'X', 'O'} {
		ends := map[byte]int{}
		var walk func(b Board)
		walk = func(b Board) {
			switch {
			case b.Over():
				ends[b.Winner()]++
			case b.Turn() == perfect:
				require.NoError(t, b.Play(perfectMove(b)))
				walk(b)
			default:
				for _, cell := range b.Legal() {
					next := b
					require.NoError(t, next.Play(cell))
					walk(next)
				}
			}
		}
		walk(Board{})
		require.NotZero(t, ends[perfect])
		require.Zero(t, ends['X'^'O'^perfect])
	}
}

// gamesOf checks the games of a row and gives their moves.
func gamesOf(t testing.TB, s *Source, in, out []uint32) []string {
	t.Helper()
	pad, _ := s.Tokenizer().Pad()
	bos, _ := s.Tokenizer().BOS()
	eos, _ := s.Tokenizer().EOS()
	var games []string
	i := 0
	for i < len(in) && in[i] != pad {
		if in[i] != bos {
			t.Fatalf("no game begins at %d of %v", i, in)
		}
		var b Board
		for i++; in[i] != eos; i++ {
			cell := int(in[i]-s.ids[1]) + 1
			want := data.Ignore
			if cell == perfectMove(b) {
				want = in[i]
			}
			if out[i-1] != want {
				t.Fatalf("target %d after %q, want %d", out[i-1], b.Text(), want)
			}
			if err := b.Play(cell); err != nil {
				t.Fatal(b.Text(), err)
			}
		}
		if !b.Over() || out[i-1] != eos || out[i] != data.Ignore {
			t.Fatalf("game %q ends wrongly", b.Text())
		}
		i++
		games = append(games, b.Text())
	}
	for ; i < len(in); i++ {
		if in[i] != pad || out[i] != data.Ignore {
			t.Fatalf("padding is %d, %d", in[i], out[i])
		}
	}
	return games
}

func TestTicTacToeEpochs(t *testing.T) {
	for _, pack := range []bool{false, true} {
		s := newSource(t, Options{Seq: 48, Seed: 5, Pack: pack})
		b := data.NewBatch(16, 48)
		var epochs [2][]string
		for total := int64(0); total < 2*s.Samples(); {
			require.NoError(t, s.Next(b))
			for r := range b.Rows {
				games := gamesOf(t, s, b.Inputs[r*48:][:48], b.Targets[r*48:][:48])
				if pack {
					require.GreaterOrEqual(t, len(games), 4)
				} else {
					require.Len(t, games, 1)
				}
				for _, game := range games {
					if e := total / s.Samples(); e < 2 {
						epochs[e] = append(epochs[e], game)
					}
					total++
				}
			}
		}
		for _, games := range epochs {
			// Every position that is not over has its perfect move learned.
			learned := map[position]bool{}
			count := map[string]int{}
			for _, game := range games {
				count[game]++
				var b Board
				for _, c := range game {
					if cell := int(c - '0'); perfectMove(b) == cell {
						learned[b.position] = true
					}
					require.NoError(t, b.Play(int(c-'0')))
				}
			}
			require.Len(t, learned, 4520)
			for _, moves := range s.games {
				text := ""
				for _, cell := range moves {
					text += fmt.Sprint(cell)
				}
				require.NotZero(t, count[text], text)
			}
		}
		require.NotEqual(t, epochs[0], epochs[1])
		require.NotSubset(t, epochs[0], epochs[1]) // other games, not only another order
	}
}

func TestTicTacToeSeek(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, pack := range []bool{false, true} {
		o := Options{Seq: 40, Seed: 3, Pack: pack}
		running, fresh := newSource(t, o), newSource(t, o)
		want, got := data.NewBatch(5, 40), data.NewBatch(5, 40)
		for i := range 200 {
			p := data.Position{Epoch: random.Int64N(5), Offset: random.Int64N(running.Samples())}
			if i%10 == 0 {
				p.Offset = running.Samples() - 1 - random.Int64N(3)
			}
			require.NoError(t, running.Seek(p))
			for range random.IntN(4) {
				require.NoError(t, running.Next(want))
			}
			require.NoError(t, fresh.Seek(running.Position()))
			require.NoError(t, running.Next(want))
			require.NoError(t, fresh.Next(got))
			require.Equal(t, want, got)
			require.Equal(t, running.Position(), fresh.Position())
		}
		require.ErrorContains(t, running.Seek(data.Position{Epoch: 0, Offset: running.Samples()}), "resume with the data")
	}
	other := newSource(t, Options{Seq: 40, Seed: 4})
	same := newSource(t, Options{Seq: 40, Seed: 3})
	a, b := data.NewBatch(5, 40), data.NewBatch(5, 40)
	require.NoError(t, other.Next(a))
	require.NoError(t, same.Next(b))
	require.NotEqual(t, a, b)
}

func TestTicTacToeRefuses(t *testing.T) {
	for _, seq := range []int{10, 0, -1} {
		_, err := NewSource(Options{Seq: seq})
		require.ErrorContains(t, err, "give at least 11")
	}
	s := newSource(t, Options{Seq: 11})
	require.ErrorContains(t, s.Next(data.NewBatch(1, 12)), "made for sequences of 11, asked for 12")
}

func TestTicTacToeAllocatesNothing(t *testing.T) {
	s := newSource(t, Options{Seq: 64, Pack: true})
	b := data.NewBatch(64, 64)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if err := s.Next(b); err != nil {
			t.Error(err)
		}
	}))
	require.NotZero(t, s.Position().Epoch)
}

func BenchmarkTicTacToeNext(b *testing.B) {
	s := newSource(b, Options{Seq: 64, Pack: true})
	batch := data.NewBatch(32, 64)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Next(batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*32*64/b.Elapsed().Seconds(), "tokens/s")
}

// perfectMove is the move of a player that wins where it can and never loses a
// game that it need not lose; always the same for the same marks. It is 0 when
// the game is over.
func perfectMove(b Board) int { return solved()[b.position].cell }
