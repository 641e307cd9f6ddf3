package printable

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestString(t *testing.T) {
	for _, row := range [][2]string{
		{"", ""},
		{"plain ünïcode 世界 ●", "plain ünïcode 世界 ●"},
		{"\x1b[31mred\x07", `\x1b[31mred\a`},
		{"two\nlines\tand\r", `two\nlines\tand\r`},
		{"bad \xff utf8 \u202egnp", `bad \xff utf8 \u202egnp`},
		{"\u009b31m \u200b", `\u009b31m \u200b`},
		{"\ufffd", "\ufffd"},
	} {
		require.Equal(t, row[1], String(row[0]))
	}
	require.Equal(t, `a\x1b...`, Short("a\x1bbcd", 2))
	require.Equal(t, "ab", Short("ab", 2))
	require.Equal(t, "a...", Short("aü", 2))
}
