package arithmetic

import (
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/data"
)

var _ data.Source = (*Source)(nil)

func newSource(t testing.TB, o Options) *Source {
	t.Helper()
	a, err := NewSource(o)
	require.NoError(t, err)
	return a
}

var sampleForm = regexp.MustCompile(`^<s>(\d+) ([-+*/]) (\d+) = (-?\d+)</s>$`)

// parse reads a sample and checks its answer by its own arithmetic.
func parse(t testing.TB, text string) Problem {
	t.Helper()
	m := sampleForm.FindStringSubmatch(text)
	require.NotNil(t, m, "%q", text)
	var n [5]int
	for _, i := range []int{1, 3, 4} {
		var err error
		n[i], err = strconv.Atoi(m[i])
		require.NoError(t, err)
	}
	a, b, c := n[1], n[3], n[4]
	require.True(t, 0 <= a && a <= 100 && 1 <= b && b <= 100, text)
	switch m[2] {
	case "+":
		require.Equal(t, a, c-b, text)
	case "-":
		require.Equal(t, a, c+b, text)
	case "*":
		require.Zero(t, c%b, text)
		require.Equal(t, a, c/b, text)
	case "/":
		require.True(t, c*b <= a && a < (c+1)*b, text)
	}
	return Problem{a, b, m[2][0]}
}

// samplesOf gives the text of each sample of a row; all that follows is padding.
func samplesOf(t testing.TB, a *Source, ids []uint32) []string {
	t.Helper()
	pad, _ := a.Tokenizer().Pad()
	for len(ids) > 0 && ids[len(ids)-1] == pad {
		ids = ids[:len(ids)-1]
	}
	if len(ids) == 0 {
		return nil
	}
	parts := strings.SplitAfter(a.Tokenizer().Decode(ids), "</s>")
	require.Empty(t, parts[len(parts)-1])
	return parts[:len(parts)-1]
}

func TestArithmeticEpochs(t *testing.T) {
	for _, pack := range []bool{false, true} {
		a := newSource(t, Options{Seq: 64, Seed: 7, Pack: pack})
		heldOut := map[Problem]bool{}
		for _, p := range a.HeldOut() {
			heldOut[p] = true
		}
		require.Len(t, heldOut, len(a.HeldOut()))
		require.EqualValues(t, 101*100*4, a.Samples()+int64(len(heldOut)))
		require.InDelta(t, 0.1, float64(len(heldOut))/(101*100*4), 0.01)

		seen := map[Problem]int{}
		b := data.NewBatch(32, 64)
		var order [3][]Problem
		for total := int64(0); total < 3*a.Samples(); {
			require.NoError(t, a.Next(b))
			for r := range b.Rows {
				texts := samplesOf(t, a, b.Inputs[r*64:][:64])
				if !pack {
					require.Len(t, texts, 1)
				}
				for _, text := range texts {
					p := parse(t, text)
					require.False(t, heldOut[p], text)
					if epoch := total / a.Samples(); epoch < 3 {
						seen[p]++
						order[epoch] = append(order[epoch], p)
						require.EqualValues(t, epoch+1, seen[p], text) // no repeats inside of an epoch
					}
					total++
				}
			}
			epoch, offset := total/a.Samples(), total%a.Samples()
			require.Equal(t, data.Position{Epoch: epoch, Offset: offset}, a.Position())
		}
		require.Len(t, seen, int(a.Samples()))
		require.NotEqual(t, order[0], order[1])
		require.NotEqual(t, order[1], order[2])
	}
}

func TestArithmeticSeed(t *testing.T) {
	first := func(seed uint64) []uint32 {
		a := newSource(t, Options{Seq: 64, Seed: seed})
		b := data.NewBatch(32, 64)
		require.NoError(t, a.Next(b))
		return b.Inputs
	}
	require.Equal(t, first(1), first(1))
	require.NotEqual(t, first(1), first(2))
}

// The pair of a held-out problem is in no trained one, in whatever order and
// with whatever operator.
func TestHeldOutPairs(t *testing.T) {
	a := newSource(t, Options{Seq: 64, Seed: 1})
	require.Equal(t, a.HeldOut(), newSource(t, Options{Seq: 32, Seed: 2, Pack: true}).HeldOut())
	heldOut := map[Problem]bool{}
	for _, p := range a.HeldOut() {
		heldOut[p] = true
	}
	for p := range heldOut {
		for _, op := range Operators() {
			require.True(t, heldOut[Problem{p.A, p.B, op}])
			if p.A > 0 {
				require.True(t, heldOut[Problem{p.B, p.A, op}])
			}
		}
	}
	// The first few hundred already hold each operator about equally often.
	count := map[byte]int{}
	for _, p := range a.HeldOut()[:400] {
		count[p.Op]++
	}
	for _, op := range Operators() {
		require.InDelta(t, 100, count[op], 30, string(op))
	}
}

func TestArithmeticTargets(t *testing.T) {
	for _, o := range []Options{
		{Seq: 64}, {Seq: 64, LossOnAll: true}, {Seq: 64, Pack: true}, {Seq: 64, Pack: true, LossOnAll: true},
		{Seq: 19}, {Seq: 19, Pack: true, LossOnAll: true},
	} {
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			a := newSource(t, o)
			tok := a.Tokenizer()
			pad, _ := tok.Pad()
			bos, _ := tok.BOS()
			eos, _ := tok.EOS()
			b := data.NewBatch(200, o.Seq)
			require.NoError(t, a.Next(b))
			packed := 0
			for r := range b.Rows {
				in, out := b.Inputs[r*o.Seq:][:o.Seq], b.Targets[r*o.Seq:][:o.Seq]
				packed = max(packed, len(samplesOf(t, a, in)))
				answer := false // whether position i is behind "= " or later
				for i, id := range in {
					if id == bos {
						answer = false
					}
					if i >= 2 && tok.Decode(in[i-1:i+1]) == "= " {
						answer = true
					}
					next := pad
					if i+1 < o.Seq {
						next = in[i+1]
					}
					want := data.Ignore
					switch {
					case next == pad: // never learned
					case o.LossOnAll:
						want = next
					case answer && id != eos && id != pad:
						want = next
					}
					require.Equal(t, want, out[i], "position %d of %q", i, tok.Decode(in))
				}
			}
			require.Equal(t, o.Pack && o.Seq == 64, packed > 1)
		})
	}
}

// A row spelled out, so that the meaning of the options can be seen.
func TestArithmeticRow(t *testing.T) {
	a := newSource(t, Options{Seq: 24})
	b := data.NewBatch(1, 24)
	for found := false; !found; {
		require.NoError(t, a.Next(b))
		require.Zero(t, a.Position().Epoch, "the problem below is not trained on; choose another")
		found = strings.HasPrefix(a.Tokenizer().Decode(b.Inputs), "<s>25 - 97 =")
	}
	const x = data.Ignore
	require.Equal(t, []uint32{1, 6, 9, 19, 15, 19, 13, 11, 19, 18, 19, 15, 11, 6, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0}, b.Inputs)
	require.Equal(t, []uint32{x, x, x, x, x, x, x, x, x, x, 15, 11, 6, 2, x, x, x, x, x, x, x, x, x, x}, b.Targets)
}

func TestArithmeticSeek(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, pack := range []bool{false, true} {
		o := Options{Seq: 48, Seed: 3, Pack: pack}
		running, fresh := newSource(t, o), newSource(t, o)
		want, got := data.NewBatch(5, 48), data.NewBatch(5, 48)
		for i := range 200 {
			p := data.Position{Epoch: random.Int64N(5), Offset: random.Int64N(running.Samples())}
			if i%10 == 0 {
				p.Offset = running.Samples() - 1 - random.Int64N(3) // a batch over the end of an epoch
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
		for _, bad := range []data.Position{{Offset: -1}, {Epoch: -1}, {Offset: running.Samples()}} {
			at := running.Position()
			require.ErrorContains(t, running.Seek(bad), "resume with the data")
			require.Equal(t, at, running.Position())
		}
	}
}

func TestHeldOutSource(t *testing.T) {
	for _, pack := range []bool{false, true} {
		a := newSource(t, Options{Seq: 64, Pack: pack})
		b := data.NewBatch(7, 64)
		read := func() (got []Problem) {
			s := a.HeldOutSource()
			empty := false
			for {
				err := s.Next(b)
				if err == io.EOF {
					require.Equal(t, data.Position{Epoch: 1}, s.Position())
					return got
				}
				require.NoError(t, err)
				for r := range b.Rows {
					texts := samplesOf(t, a, b.Inputs[r*64:][:64])
					require.False(t, empty && len(texts) > 0)
					if empty = len(texts) == 0; empty {
						for _, target := range b.Targets[r*64:][:64] {
							require.Equal(t, data.Ignore, target)
						}
					}
					for _, text := range texts {
						got = append(got, parse(t, text))
					}
				}
			}
		}
		require.Equal(t, a.HeldOut(), read())
		require.Equal(t, a.HeldOut(), read())
	}
}

func TestProblem(t *testing.T) {
	for _, c := range []struct {
		p              Problem
		prompt, answer string
		digits         int
	}{
		{Problem{25, 17, '+'}, "25 + 17 = ", "42", 2},
		{Problem{0, 100, '-'}, "0 - 100 = ", "-100", 3},
		{Problem{5, 5, '-'}, "5 - 5 = ", "0", 1},
		{Problem{100, 100, '*'}, "100 * 100 = ", "10000", 5},
		{Problem{99, 100, '/'}, "99 / 100 = ", "0", 1},
		{Problem{100, 3, '/'}, "100 / 3 = ", "33", 2},
		{Problem{1, 0, '/'}, "1 / 0 = ", "", 0},
		{Problem{1, 1, '%'}, "1 % 1 = ", "", 0},
	} {
		require.Equal(t, c.prompt, c.p.Prompt())
		require.Equal(t, c.answer, c.p.Answer(), c.prompt)
		require.Equal(t, c.digits, c.p.Digits(), c.prompt)
	}
}

func TestArithmeticRefuses(t *testing.T) {
	for _, seq := range []int{18, 1, 0, -5} {
		_, err := NewSource(Options{Seq: seq})
		require.ErrorContains(t, err, "give at least 19")
	}
	a := newSource(t, Options{Seq: 19})
	require.ErrorContains(t, a.Next(data.NewBatch(1, 20)), "made for sequences of 19, asked for 20")
}

func TestArithmeticAllocatesNothing(t *testing.T) {
	for _, pack := range []bool{false, true} {
		a := newSource(t, Options{Seq: 64, Pack: pack})
		b := data.NewBatch(512, 64)
		require.Zero(t, testing.AllocsPerRun(200, func() { // over the ends of epochs too
			if err := a.Next(b); err != nil {
				t.Error(err)
			}
		}))
		require.NotZero(t, a.Position().Epoch)
	}
}

func BenchmarkArithmeticNext(b *testing.B) {
	for _, pack := range []bool{false, true} {
		b.Run(fmt.Sprintf("pack=%v", pack), func(b *testing.B) {
			a := newSource(b, Options{Seq: 64, Pack: pack})
			batch := data.NewBatch(32, 64)
			b.ReportAllocs()
			for b.Loop() {
				if err := a.Next(batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*32*64/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

func BenchmarkNewSource(b *testing.B) {
	for b.Loop() {
		newSource(b, Options{Seq: 64})
	}
}
