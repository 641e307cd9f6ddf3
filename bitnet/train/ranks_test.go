package train

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestShareOf(t *testing.T) {
	for _, row := range []struct {
		batch, accum, ranks int
		want                share
		err                 string
	}{
		{16, 1, 1, share{16, 1}, ""},
		{4, 4, 1, share{4, 4}, ""},
		{4, 4, 4, share{4, 1}, ""},
		{4, 4, 2, share{4, 2}, ""},
		{16, 1, 4, share{4, 1}, ""}, // of fewer rows
		{16, 3, 4, share{12, 1}, ""},
		{10, 3, 2, share{5, 3}, ""}, // 15 rows each
		{16, 1, 3, share{}, "3 ranks cannot share the 16 sequences of a step (batch_size 16 x grad_accum 1) equally: start 2 or 4 ranks"},
		{2, 1, 3, share{}, "start 2 ranks"},
	} {
		c := Config{Train: Optimisation{BatchSize: row.batch, GradAccum: row.accum}}
		got, err := c.shareOf(row.ranks)
		if row.err != "" {
			require.ErrorContains(t, err, row.err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, row.want, got)
		require.Equal(t, row.batch*row.accum, got.Rows*got.Accum*row.ranks)
	}
}
