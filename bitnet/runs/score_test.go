package runs

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestScoreInWords(t *testing.T) {
	for _, row := range []struct {
		s    Score
		want string
	}{
		{Score{Value: 0.125, Unit: Share, Count: 64, Of: "problems"}, "12.5% of 64 problems"},
		{Score{Value: 0.7, Unit: Share}, "70.0%"},
		{Score{Value: 12, Unit: Count, Count: 1000, Of: "games"}, "12 of 1,000 games"},
		{Score{Value: 1234, Unit: Count}, "1,234"},
		{Score{Value: 0.75129, Unit: Nats, Count: 6000, Of: "tokens"}, "0.7513 nats over 6,000 tokens"},
		{Score{Value: 2.5}, "2.5"},
		{Score{Value: 2.5, Count: 3}, "2.5 over 3"},
	} {
		require.Equal(t, row.want, row.s.String())
	}
}

func TestParts(t *testing.T) {
	e := Eval{Loss: 2, Tokens: 5}
	for _, part := range []string{"", "+", "-", "+, 2 digits"} {
		e.Scores = append(e.Scores, Score{Name: "exact match", Part: part, Unit: Share})
	}
	parts := func() (names []string) {
		for _, s := range e.Parts("exact match") {
			names = append(names, s.Part)
		}
		return names
	}
	require.Equal(t, []string{"+", "-"}, parts())
	require.Empty(t, e.Parts("another"))
	require.Len(t, e.All(), 5)
	require.Equal(t, "2 nats over 5 tokens", e.All()[0].String())
	for i := range fewParts {
		e.Scores = append(e.Scores, Score{Name: "exact match", Part: fmt.Sprint(i)})
	}
	require.Empty(t, parts(), "too many to show")
}

func TestFormats(t *testing.T) {
	for _, row := range []struct {
		f    Format
		v    float64
		want string
	}{
		{Plain, 2.37412, "2.374"}, {Plain, 15743.4, "15,743"}, {Short, 3160320, "3.16M"}, {Short, 9216, "9216"}, {Millis, 32.52, "32.52 ms"},
		{Millis, 12345, "12.3 s"}, {Bytes, 6612480, "6.31 MiB"}, {Bytes, 215986688, "206 MiB"}, {Bytes, 1000 << 20, "1000 MiB"}, {Bytes, 512, "512 B"},
		{Bytes, 3 << 40, "3 TiB"}, {Percent, 0.125, "12.5%"}, {Whole, -1234567, "-1,234,567"},
	} {
		require.Equal(t, row.want, row.f.Text(row.v))
	}
}
