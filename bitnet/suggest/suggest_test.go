package suggest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNearest(t *testing.T) {
	names := []string{"train", "tune", "status", "serve", "learning_rate", "warmup_steps"}
	for word, want := range map[string]string{
		"trian": "train", "tran": "train", "serv": "serve", "stauts": "status", "learning_rat": "learning_rate",
		"warmup": "warmup_steps", "leraning_rate": "learning_rate", "poem": "", "": "", "x": "",
	} {
		require.Equal(t, want, Nearest(word, names), word)
	}
	require.Equal(t, " (did you mean train?)", DidYouMean("trian", names))
	require.Empty(t, DidYouMean("poem", names))
}

func TestEdits(t *testing.T) {
	require.Equal(t, 3, edits("kitten", "sitting"))
	require.Equal(t, 0, edits("same", "same"))
	require.Equal(t, 4, edits("", "four"))
	require.Equal(t, 4, edits("four", ""))
}
