package infer

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/model/modeltest"
	"bitnet/data/tokenizer"
	"bitnet/graph"
)

func testSession(t *testing.T) (*Model, *Session) {
	t.Helper()
	dev := modeltest.Device(t)
	tok, err := tokenizer.Characters("abcdefghij ")
	require.NoError(t, err)
	m := modeltest.Random(t, dev, modeltest.Tiny(16, 32), graph.TargetOf(dev.Adapter()))
	o := &Model{Model: m, Tokenizer: tok}
	s, err := o.NewSession(0)
	require.NoError(t, err)
	t.Cleanup(s.Release)
	return o, s
}

func TestSessionKeepsWhatTextsShare(t *testing.T) {
	o, s := testSession(t)
	complete := func(text string, limit int) Completion {
		ids, err := o.Prompt(text)
		require.NoError(t, err)
		var pieces []string
		c, err := s.Complete(context.Background(), Request{Tokens: ids, Limit: limit, Sampling: Sampling{TopP: 1, RepetitionPenalty: 1}}, func(p string) error {
			pieces = append(pieces, p)
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, c.Text, strings.Join(pieces, ""))
		return c
	}
	first := complete("abc", 5)
	require.Zero(t, first.Cached)
	again := complete("abc", 5)
	require.Equal(t, 3, again.Cached, "<s>ab; the last token's logits are needed")
	require.Equal(t, first.Text, again.Text)
	other := complete("abd", 5)
	require.Equal(t, 3, other.Cached)
	require.Equal(t, first.Text, complete("abc", 5).Text)
	filled := complete("abc", 0)
	if !filled.Ended {
		require.Len(t, filled.Tokens, 32-4+1, "the last token needs no room")
		require.Equal(t, "length", filled.Reason)
	}
	_, err := s.Complete(context.Background(), Request{Tokens: make([]uint32, 33), Sampling: DefaultSampling()}, nil)
	require.ErrorContains(t, err, "33 tokens")
	_, err = s.Complete(context.Background(), Request{Sampling: DefaultSampling()}, nil)
	require.ErrorContains(t, err, "nothing to continue")
}

func TestSessionStopsWhenAsked(t *testing.T) {
	o, s := testSession(t)
	ids, err := o.Prompt("abc")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	n := 0
	_, err = s.Complete(ctx, Request{Tokens: ids, Sampling: Sampling{Temperature: 5, TopP: 1, RepetitionPenalty: 1, Seed: 3}}, func(string) error {
		if n++; n == 2 {
			cancel()
		}
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 2, n)
}

func TestStopStrings(t *testing.T) {
	tok, err := tokenizer.Characters("abcdefghij ")
	require.NoError(t, err)
	for _, c := range []struct {
		text, want string
		stop       []string
		stopped    bool
	}{
		{"abcdef", "abcdef", nil, false},
		{"abcdef", "ab", []string{"cd"}, true},
		{"abcabd", "abc", []string{"abd"}, true},
		{"aab", "a", []string{"ab", "zz"}, true},
		{"abc", "abc", []string{"cd"}, false},
		{"abcd", "a", []string{"cd", "bcd"}, true},
		{"abc", "", []string{"a", ""}, true},
	} {
		ids, err := tok.Encode(c.text)
		require.NoError(t, err)
		var pieces []string
		s := &stopper{decoder: tok.NewDecoder(), stop: c.stop, emit: func(p string) error { pieces = append(pieces, p); return nil }}
		stopped := false
		for _, id := range ids {
			if stopped, err = s.next(id); stopped {
				break
			}
			require.NoError(t, err)
		}
		require.NoError(t, s.finish())
		require.Equal(t, c.stopped, stopped, c)
		require.Equal(t, c.want, s.text(), c)
		require.Equal(t, c.want, strings.Join(pieces, ""), c)
	}
}

func TestChatFormats(t *testing.T) {
	tok, err := tokenizer.Characters("abcdefghij ")
	require.NoError(t, err)
	f, err := FindChatFormat("", tok)
	require.NoError(t, err)
	require.Equal(t, "plain", f.Name)
	_, err = FindChatFormat("poem", tok)
	require.ErrorContains(t, err, "chatml")
	bos, _ := tok.BOS()
	eos, _ := tok.EOS()
	text := func(ids []uint32) string {
		return strings.NewReplacer(tok.Decode([]uint32{bos}), "(", tok.Decode([]uint32{eos}), ")").Replace(tok.Decode(ids))
	}
	talk := []Message{{Role: "user", Content: "ab"}, {Role: "assistant", Content: "cd", Ended: true}, {Role: "user", Content: "ef"}, {Role: "assistant", Content: "gh"}, {Role: "user", Content: "ij"}}
	ids, err := f.Tokens(tok, talk)
	require.NoError(t, err)
	require.Equal(t, "(abcd)(efghij", text(ids))
	ids, left, err := f.Fit(tok, talk, 12, 3)
	require.NoError(t, err)
	require.LessOrEqual(t, len(ids), 9)
	require.Equal(t, "ij", left[len(left)-1].Content)
	_, _, err = f.Fit(tok, []Message{{Role: "user", Content: "abcdefghij"}}, 8, 3)
	require.ErrorContains(t, err, "shorten it")
}

// cancelling is a context that ends after it was asked so many times.
type cancelling struct {
	context.Context
	left int
}

func (c *cancelling) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// A long prompt is given up between two of its chunks, and what was computed of
// it is known to the next request.
func TestPromptIsCancelled(t *testing.T) {
	dev := modeltest.Device(t)
	tok, err := tokenizer.Characters("abcdefghij ")
	require.NoError(t, err)
	o := &Model{Model: modeltest.Random(t, dev, modeltest.Tiny(16, 600), graph.TargetOf(dev.Adapter())), Tokenizer: tok}
	s, err := o.NewSession(0)
	require.NoError(t, err)
	defer s.Release()
	ids, err := o.Prompt(strings.Repeat("abcdefghij", 50))
	require.NoError(t, err)
	request := Request{Tokens: ids, Limit: 1, Sampling: Sampling{TopP: 1, RepetitionPenalty: 1}}
	_, err = s.Complete(&cancelling{context.Background(), 2}, request, nil)
	require.ErrorIs(t, err, context.Canceled)
	c, err := s.Complete(context.Background(), request, nil)
	require.NoError(t, err)
	require.Equal(t, 256, c.Cached, "two chunks of 128 tokens")
	whole, err := o.NewSession(0)
	require.NoError(t, err)
	defer whole.Release()
	want, err := whole.Complete(context.Background(), request, nil)
	require.NoError(t, err)
	require.Equal(t, want.Tokens, c.Tokens)
}
