package tokenizer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// Training ends in the middle of whatever it does when its context is
// cancelled: in a document that takes minutes, between documents, in a merge.
func TestTrainIsCancelled(t *testing.T) {
	t.Run("in a document", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var n atomic.Int64
		split := splitter{scanners: []scanner{func(s string) int {
			if n.Add(1) == 1000 {
				cancel()
			}
			return 1
		}}}
		_, err := countWords(ctx, slices.Values([]string{strings.Repeat("ab", 1<<20), "x"}), split, func(int, int) {})
		require.ErrorIs(t, err, context.Canceled)
		require.Less(t, n.Load(), int64(2*wordsPerLook))
	})
	t.Run("between documents", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		n := 0
		_, err := Train(ctx, func(yield func(string) bool) {
			for yield("a") {
				if n++; n == 1000 {
					cancel()
				}
			}
		}, TrainOptions{VocabSize: 300})
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, 1000, n)
	})

	var table wordTable
	for i := range 3 * wordsPerLook {
		w := fmt.Sprintf("ab%d", i)
		addWord(&table, w, hashWord(w), 1)
	}
	var byteID [256]uint32
	for i := range byteID {
		byteID[i] = uint32(i)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	t.Run("in counting pairs", func(t *testing.T) {
		// Both loops over all words look at the context, so the second one would
		// end it where the first does not.
		for looks := range 6 {
			tables := []wordTable{{entries: slices.Clone(table.entries), bytes: table.bytes, index: table.index}}
			ctx := &lookedAt{Context: t.Context(), left: looks}
			_, err := newLearner(ctx, tables, byteID)
			require.ErrorIs(t, err, context.Canceled, "after %d looks", looks)
		}
	})
	t.Run("in a merge", func(t *testing.T) {
		l, err := newLearner(t.Context(), []wordTable{table}, byteID)
		require.NoError(t, err)
		l.step.init(300)
		pair := l.queue[0]
		require.EqualValues(t, uint64('a')<<32|'b', pair.pair)
		require.Len(t, pair.words, 3*wordsPerLook)
		ctx := &lookedAt{Context: t.Context(), left: 1}
		require.ErrorIs(t, l.merge(ctx, 'a', 'b', 256, pair.words), context.Canceled)
		require.EqualValues(t, 2, l.length[0], "nothing was merged")
		last := pair.words[len(pair.words)-1]
		require.Greater(t, l.length[last], uint32(6), "all was merged")
	})
	t.Run("before", func(t *testing.T) {
		_, err := Train(gone, slices.Values([]string{"a"}), TrainOptions{VocabSize: 300})
		require.ErrorIs(t, err, context.Canceled)
	})
}

// lookedAt is a context that is cancelled when it has been looked at so often.
type lookedAt struct {
	context.Context
	left int
}

func (c *lookedAt) Err() error {
	if c.left == 0 {
		return context.Canceled
	}
	c.left--
	return nil
}
