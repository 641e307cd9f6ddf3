package catalog

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFind(t *testing.T) {
	for source, want := range map[string][2]string{
		"arithmetic":        {"arithmetic", ""},
		"tictactoe":         {"tictactoe", ""},
		"text:stories":      {"text", "stories"},
		"text:a.txt,b.txt":  {"text", "a.txt,b.txt"},
		"text:hub:org/name": {"text", "hub:org/name"},
		"tokens:ids.u16":    {"tokens", "ids.u16"},
		"tokens:C:\\x.u32":  {"tokens", "C:\\x.u32"},
		"shards:data/x":     {"shards", "data/x"},
	} {
		k, argument, err := Find(source)
		require.NoError(t, err, source)
		require.Equal(t, want, [2]string{k.Name, argument}, source)
		require.NotNil(t, k.Open, source)
	}
	for source, want := range map[string]string{"text:": "text", "chat:": "chat", "text:x": "text", "arithmetic": "arithmetic"} {
		k, err := Named(source)
		require.NoError(t, err, source)
		require.Equal(t, want, k.Name, source)
	}
	_, err := Named("poem:")
	require.ErrorContains(t, err, "choose one of ")
	for _, source := range []string{"", ":", "poem", "poem:x", "text", "text:", "tokens", "shards:", "arithmetic:", "arithmetic:x", "Arithmetic", " text:x"} {
		_, _, err := Find(source)
		require.ErrorContains(t, err, "choose one of ", source)
		require.NotContains(t, err.Error(), "\n", source)
		for _, form := range []string{"text:", "shards:", "tokens:FILE", "arithmetic", "tictactoe"} {
			require.ErrorContains(t, err, form, source)
		}
		_, err = Open(t.Context(), options(source))
		require.ErrorContains(t, err, "choose one of ", source)
	}
}

func TestSource(t *testing.T) {
	for named, want := range map[string]string{
		"arithmetic":       "arithmetic",
		"tictactoe":        "tictactoe",
		"tokens:ids.u16":   "tokens:ids.u16",
		"shards:data/x":    "shards:data/x",
		"text:stories":     "text:stories",
		"stories/":         "text:stories/",
		"a.txt,b.txt":      "text:a.txt,b.txt",
		"hub:org/name":     "text:hub:org/name",
		"tinystories":      "text:tinystories",
		"text":             "text:text", // a folder of that name
		"./arithmetic":     "text:./arithmetic",
		"arithmetic:plain": "text:arithmetic:plain",
	} {
		require.Equal(t, want, Source(named, ""), named)
		_, _, err := Find(Source(named, ""))
		require.NoError(t, err, named)
	}
}

func TestHelp(t *testing.T) {
	help := Help()
	require.NotContains(t, help, "\n")
	seen := map[string]bool{}
	for _, k := range Kinds() {
		require.False(t, seen[k.Name], "two tasks are called %s", k.Name)
		seen[k.Name] = true
		require.NotContains(t, k.Name, ":")
		form := k.Name
		if k.Argument != "" {
			form += ":" + k.Argument
		}
		require.Contains(t, help, form+" ("+k.About+")")
		if k.Try != nil {
			require.Contains(t, k.Try("runs/mine"), "runs/mine")
			require.True(t, strings.HasPrefix(k.Try("runs/mine"), "bitnet "))
		}
	}
	var games []string
	for _, k := range Games() {
		games = append(games, k.Name)
		require.Len(t, k.Game.Sides, 2)
		require.NotEmpty(t, k.Game.Opponents)
	}
	require.Equal(t, []string{"tictactoe"}, games)
}
