package infer

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/model/modeltest"
	"bitnet/data/tokenizer"
	"bitnet/graph"
)

func testBatch(t *testing.T, n, length int) (*Model, *Batch) {
	t.Helper()
	dev := modeltest.Device(t)
	tok, err := tokenizer.Characters("abcdefghij ")
	require.NoError(t, err)
	o := &Model{Model: modeltest.Random(t, dev, modeltest.Tiny(16, length), graph.TargetOf(dev.Adapter())), Tokenizer: tok}
	b, err := o.NewBatch(n, length)
	require.NoError(t, err)
	t.Cleanup(b.Release)
	return o, b
}

// ids are random tokens that are characters.
func ids(rng *rand.Rand, n int) []uint32 {
	out := make([]uint32, n)
	for i := range out {
		out[i] = uint32(5 + rng.IntN(11))
	}
	return out
}

// A text is the same, with the same bits in its log-probabilities, alone, in any
// company, and whatever the cache knew of it.
func TestBatchDoesNotMixTexts(t *testing.T) {
	o, b := testBatch(t, 10, 400)
	eos, ok := o.Tokenizer.EOS()
	require.True(t, ok)
	rng := rand.New(rand.NewPCG(1, 2))
	var requests []BatchRequest
	for i := range 12 {
		r := BatchRequest{PromptLogProbs: i%3 == 1, Request: Request{
			Tokens: ids(rng, []int{1, 3, 9, 40, 130, 300}[i%6]), Limit: 1 + rng.IntN(20),
			LogProbs: true, TopLogProbs: 3,
			Sampling: Sampling{Temperature: 1.5, TopP: 1, RepetitionPenalty: 1, Seed: uint64(i), Bias: map[uint32]float64{eos: -100}},
		}}
		if i%4 == 3 {
			r.Tokens = append(requests[0].Tokens[:1:1], requests[i-1].Tokens...)
		}
		requests = append(requests, r)
	}
	var alone []Completion
	for _, r := range requests {
		single, err := o.NewBatch(1, 400)
		require.NoError(t, err)
		c, err := single.Complete(t.Context(), r, nil)
		single.Release()
		require.NoError(t, err)
		require.Len(t, c.Tokens, r.Limit)
		alone = append(alone, c)
	}
	for round := range 3 {
		together := make([]Completion, len(requests))
		pieces := make([]string, len(requests))
		var all sync.WaitGroup
		for i, r := range requests {
			wait := time.Duration(rng.IntN(60)) * time.Millisecond
			all.Go(func() {
				time.Sleep(wait)
				var err error
				together[i], err = b.Complete(t.Context(), r, func(p Piece) error { pieces[i] += p.Text; return nil })
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for i, c := range together {
			require.Equal(t, alone[i].Tokens, c.Tokens, "text %d, round %d", i, round)
			require.Equal(t, alone[i].LogProbs, c.LogProbs, "text %d, round %d", i, round)
			require.Equal(t, alone[i].Prompt, c.Prompt, "text %d, round %d", i, round)
			require.Equal(t, c.Text, pieces[i])
			if requests[i].PromptLogProbs {
				require.Len(t, c.Prompt, len(requests[i].Tokens))
			}
		}
	}
}

// A batch and a session agree, but for the order of sums.
func TestBatchAgreesWithSession(t *testing.T) {
	o, b := testBatch(t, 2, 200)
	s, err := o.NewSession(200)
	require.NoError(t, err)
	defer s.Release()
	r := Request{Tokens: ids(rand.New(rand.NewPCG(3, 4)), 60), Limit: 30, LogProbs: true, Sampling: Sampling{TopP: 1, RepetitionPenalty: 1}}
	want, err := s.Complete(t.Context(), r, nil)
	require.NoError(t, err)
	got, err := b.Complete(t.Context(), BatchRequest{Request: r}, nil)
	require.NoError(t, err)
	require.Equal(t, want.Tokens, got.Tokens)
	for i := range want.LogProbs {
		require.InDelta(t, want.LogProbs[i].LogProb, got.LogProbs[i].LogProb, 2e-2)
	}
	require.Equal(t, want.Reason, got.Reason)
	again, err := b.Complete(t.Context(), BatchRequest{Request: r}, nil)
	require.NoError(t, err)
	require.Equal(t, 59, again.Cached)
	require.Equal(t, got.LogProbs, again.LogProbs)
	// Prompts are measured as new tokens are.
	whole := append(r.Tokens[:60:60], got.Tokens...)
	measured, err := b.Complete(t.Context(), BatchRequest{PromptLogProbs: true, Request: Request{Tokens: whole, Limit: -1, Sampling: r.Sampling}}, nil)
	require.NoError(t, err)
	require.Empty(t, measured.Tokens)
	require.Len(t, measured.Prompt, len(whole))
	for i, p := range got.LogProbs {
		require.Equal(t, p, measured.Prompt[60+i])
	}
}

// Texts begin in the order in which they came, and one that leaves is not waited for.
func TestBatchTakesTurns(t *testing.T) {
	_, b := testBatch(t, 1, 3000)
	sampling := Sampling{TopP: 1, RepetitionPenalty: 1}
	long := BatchRequest{Request: Request{Tokens: ids(rand.New(rand.NewPCG(5, 6)), 8), Sampling: sampling}}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	began := make(chan struct{})
	long.Begin = func() { close(began) }
	all.Go(func() {
		if _, err := b.Complete(ctx, long, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("the long text ended: %v", err)
		}
	})
	<-began
	var mu sync.Mutex
	var order []int
	leaving, leave := context.WithCancel(t.Context())
	for i := range 4 {
		own := t.Context()
		if i == 1 {
			own = leaving
		}
		all.Go(func() {
			_, err := b.Complete(own, BatchRequest{Begin: func() { mu.Lock(); order = append(order, i); mu.Unlock() },
				Request: Request{Tokens: []uint32{5, 6}, Limit: 2, Sampling: sampling}}, nil)
			if i == 1 != (err != nil) {
				t.Errorf("text %d: %v", i, err)
			}
		})
		require.Eventually(t, func() bool { _, waiting := b.Load(); return waiting == i+1 }, 5*time.Second, time.Millisecond)
	}
	leave()
	require.Eventually(t, func() bool { _, waiting := b.Load(); return waiting == 3 }, 5*time.Second, time.Millisecond)
	cancel()
	all.Wait()
	require.Equal(t, []int{0, 2, 3}, order)
	running, waiting := b.Load()
	require.Zero(t, running+waiting)
}

// A client that takes nothing holds up nobody, and an error of its ends its text.
func TestBatchWaitsForNoClient(t *testing.T) {
	_, b := testBatch(t, 2, 300)
	sampling := Sampling{TopP: 1, RepetitionPenalty: 1}
	stuck, release := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		once := sync.OnceFunc(func() { close(stuck); <-release })
		_, err := b.Complete(t.Context(), BatchRequest{Request: Request{Tokens: []uint32{5}, Limit: 250, Sampling: sampling}}, func(Piece) error {
			once()
			return errors.New("the client is gone")
		})
		if err == nil || !strings.Contains(err.Error(), "gone") {
			t.Error(err)
		}
	})
	<-stuck
	c, err := b.Complete(t.Context(), BatchRequest{Request: Request{Tokens: []uint32{6, 7}, Limit: 20, Sampling: sampling}}, nil)
	require.NoError(t, err)
	require.NotEmpty(t, c.Tokens)
	close(release)
	all.Wait()
}

func TestBatchRefusesAndEnds(t *testing.T) {
	_, b := testBatch(t, 1, 3000)
	sampling := Sampling{TopP: 1, RepetitionPenalty: 1}
	// What is compiled for the first step does not count here.
	_, err := b.Complete(t.Context(), BatchRequest{Request: Request{Tokens: []uint32{5}, Limit: 1, Sampling: sampling}}, nil)
	require.NoError(t, err)
	began, why := make(chan struct{}), errors.New("closing time")
	var all sync.WaitGroup
	all.Go(func() {
		c, err := b.Complete(t.Context(), BatchRequest{Time: 300 * time.Millisecond, Begin: func() { close(began) }, Request: Request{Tokens: []uint32{5}, Sampling: sampling}}, nil)
		if err != nil || c.Reason != "length" || len(c.Tokens) == 0 {
			t.Errorf("what there is after its time is the answer: %v %v", c.Reason, err)
		}
	})
	<-began
	all.Go(func() {
		if _, err := b.Complete(t.Context(), BatchRequest{Request: Request{Tokens: []uint32{5}, Sampling: sampling}}, nil); !errors.Is(err, why) {
			t.Error(err)
		}
	})
	require.Eventually(t, func() bool { _, waiting := b.Load(); return waiting == 1 }, 5*time.Second, time.Millisecond)
	b.Refuse(why)
	_, err = b.Complete(t.Context(), BatchRequest{Request: Request{Tokens: []uint32{5}, Sampling: sampling}}, nil)
	require.ErrorIs(t, err, why)
	all.Wait()
	for _, r := range []Request{{Sampling: sampling}, {Tokens: make([]uint32, 3001), Sampling: sampling}, {Tokens: []uint32{5}}} {
		_, err := b.Complete(t.Context(), BatchRequest{Request: r}, nil)
		require.Error(t, err)
		require.NotErrorIs(t, err, why)
	}
}

// A step has room for everyone, and a short prompt is read at once beside a long one.
func TestDivide(t *testing.T) {
	tok, err := tokenizer.Characters("abc")
	require.NoError(t, err)
	b := &Batch{slots: []*slot{{}, {}, {}, {}}}
	put := func(i, prompt, fed int) {
		w, err := newWriter(tok, 600, Request{Tokens: make([]uint32, prompt), Sampling: Sampling{TopP: 1, RepetitionPenalty: 1}}, nil)
		require.NoError(t, err)
		b.slots[i].job, b.slots[i].tokens = &job{writer: w}, make([]uint32, fed)
	}
	sizes := func() []int {
		out := make([]int, 4)
		for _, sh := range b.divide() {
			out[sh.number] = len(sh.tokens)
		}
		return out
	}
	put(0, 500, 0)
	require.Equal(t, []int{128, 0, 0, 0}, sizes(), "alone")
	put(1, 4, 0)
	require.Equal(t, []int{124, 4, 0, 0}, sizes())
	put(2, 10, 9)
	require.Equal(t, []int{27, 4, 1, 0}, sizes(), "in company")
	put(3, 400, 0)
	require.Equal(t, []int{14, 4, 1, 13}, sizes())
	put(0, 500, 499)
	put(3, 400, 399)
	put(1, 12, 0)
	require.Equal(t, []int{1, 5, 1, 1}, sizes(), "two passes of 8 cost less than one of 32")
}

// A batch that warms up has its passes before the first text, and answers as before.
func TestBatchWarmsUp(t *testing.T) {
	o, b := testBatch(t, 2, 200)
	r := BatchRequest{Request: Request{Tokens: []uint32{5, 6, 7}, Limit: 5, Sampling: Sampling{TopP: 1, RepetitionPenalty: 1}}}
	cold, err := b.Complete(t.Context(), r, nil)
	require.NoError(t, err)
	warm, err := o.NewBatch(2, 200)
	require.NoError(t, err)
	warm.Warm()
	require.Eventually(t, func() bool {
		warm.mu.Lock()
		defer warm.mu.Unlock()
		return !warm.warm
	}, 2*time.Minute, 10*time.Millisecond)
	c, err := warm.Complete(t.Context(), r, nil)
	require.NoError(t, err)
	require.Equal(t, cold.Tokens, c.Tokens)
	warm.Release()
	require.NotEmpty(t, warm.passes)
}
