package tokenizer

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCharacters(t *testing.T) {
	tok, err := Characters("0123456789 +=\n")
	require.NoError(t, err)
	require.Equal(t, 18, tok.Size())

	ids, err := tok.Encode("<s>12 + 7=\n</s>")
	require.NoError(t, err)
	require.Equal(t, []uint32{1, 5, 6, 14, 15, 14, 11, 16, 17, 2}, ids)
	require.Equal(t, "<s>12 + 7=\n</s>", tok.Decode(ids))

	space, ok := tok.ID("Ġ")
	require.True(t, ok)
	require.EqualValues(t, 14, space)
	bos, _ := tok.BOS()
	eos, _ := tok.EOS()
	pad, _ := tok.Pad()
	require.Equal(t, []uint32{1, 2, 0}, []uint32{bos, eos, pad})
	require.True(t, tok.IsSpecial(3))
	require.False(t, tok.IsSpecial(4))

	_, err = tok.EncodeOrdinary("<s>")
	require.ErrorContains(t, err, `cannot encode '<' (U+003C) at byte 0`)
	_, err = tok.Encode("1 + é")
	require.ErrorContains(t, err, `cannot encode 'é' (U+00E9) at byte 4`)
	_, err = tok.Encode("12<s>3\xff")
	require.ErrorContains(t, err, `cannot encode the byte 0xFF at byte 6`)
}

func TestCharactersRefuses(t *testing.T) {
	for alphabet, want := range map[string]string{
		"abé": `'é' at byte 2`,
		"aba": `'a' twice, again at byte 2`,
	} {
		_, err := Characters(alphabet)
		require.ErrorContains(t, err, want)
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	tok, err := Characters("abcdefghijklmnopqrstuvwxyz ")
	require.NoError(t, err)
	dst := make([]uint32, 0, 100)
	e := newEncoder(tok)
	n := testing.AllocsPerRun(100, func() {
		_, _ = e.append(dst, "some text that has a word in it<s>", false)
	})
	require.Zero(t, n)
}
