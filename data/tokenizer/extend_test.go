package tokenizer

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWithChat(t *testing.T) {
	base, err := Train(t.Context(), slices.Values([]string{"one two three, one two <|im_end|>"}), TrainOptions{VocabSize: 280, Specials: []string{"<pad>", "<s>", "</s>"}})
	require.NoError(t, err)
	chat, err := base.WithChat("{{ x }}", []string{"<|im_start|>", "<|im_end|>"}, "<|im_end|>")
	require.NoError(t, err)
	require.Equal(t, base.Size()+2, chat.Size())
	require.True(t, chat.Extends(base))
	require.False(t, base.Extends(chat))
	require.NotEqual(t, base.Hash(), chat.Hash())
	require.Empty(t, base.ChatTemplate(), "the tokenizer itself stays as it was")

	bos, _ := base.BOS()
	got, ok := chat.BOS()
	require.True(t, ok)
	require.Equal(t, bos, got)
	end, _ := chat.EOS()
	require.Equal(t, uint32(base.Size()+1), end)
	ids, err := chat.Encode("one<|im_end|>")
	require.NoError(t, err)
	require.Equal(t, end, ids[len(ids)-1])
	ids, err = chat.EncodeOrdinary("one two <|im_end|>")
	require.NoError(t, err)
	want, err := base.EncodeOrdinary("one two <|im_end|>")
	require.NoError(t, err)
	require.Equal(t, want, ids, "text has the ids that it had")

	// It survives its files, and a second time nothing is added.
	dir := t.TempDir()
	require.NoError(t, chat.Save(dir))
	back, err := Load(dir)
	require.NoError(t, err)
	require.Equal(t, chat.Hash(), back.Hash())
	require.Equal(t, "{{ x }}", back.ChatTemplate())
	again, _ := back.EOS()
	require.Equal(t, end, again)
	same, err := back.WithChat("{{ x }}", []string{"<|im_start|>", "<|im_end|>"}, "<|im_end|>")
	require.NoError(t, err)
	require.Equal(t, back.Hash(), same.Hash())

	_, err = base.WithChat("", []string{"one"}, "one")
	if _, there := base.ID("one"); there {
		require.ErrorContains(t, err, "ordinary token")
	}
	_, err = base.WithChat("", nil, "<|im_end|>")
	require.ErrorContains(t, err, "not among")
}
