package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"bitnet/bitnet/runs"
	"bitnet/gpu"
)

// shippedModel is a model that plays tic-tac-toe.
const shippedModel = "../../testdata/tictactoe"

// use gives what a command prints, with in on its standard input.
func use(t *testing.T, cmd *cobra.Command, in string, args ...string) (string, error) {
	t.Helper()
	dev, err := gpu.Open("")
	if err != nil {
		t.Skip("no adapter: run gpu/install-vulkan.sh")
	}
	dev.Close()
	var out bytes.Buffer
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs(args)
	cmd.SetIn(strings.NewReader(in))
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	err = cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestGenerateCommand(t *testing.T) {
	out, err := use(t, generateCommand(), "", shippedModel, "--prompt", "5", "--temp", "0", "--json", "-n", "2")
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, 2)
	for _, l := range lines {
		var v struct {
			Text, Reason string
			Tokens       []int
		}
		require.NoError(t, json.Unmarshal([]byte(l), &v))
		require.Len(t, v.Text, 8)
		require.Len(t, v.Tokens, 8)
		require.Equal(t, "stop", v.Reason)
	}
	out, err = use(t, generateCommand(), "5", shippedModel, "--prompt-file", "-", "--temp", "0", "--max-tokens", "2")
	require.NoError(t, err)
	require.Len(t, strings.TrimSpace(out), 3)

	_, err = use(t, generateCommand(), "", shippedModel, "--prompt", "hello")
	require.ErrorContains(t, err, "token")
	_, err = use(t, generateCommand(), "", shippedModel, "--temp", "-3")
	require.ErrorAs(t, err, &usageError{})
	_, err = use(t, generateCommand(), "", filepath.Join(t.TempDir(), "none"))
	require.ErrorContains(t, err, "none")
}

func TestChatCommand(t *testing.T) {
	saved := filepath.Join(t.TempDir(), "talk.txt")
	in := strings.Join([]string{"5", "hello", "/temp hot", "/temp 0", "/nonsense", "/save " + saved, "/save " + saved, "/reset", "5", "/help", "/quit", "5"}, "\n")
	out, err := use(t, chatCommand(), in, shippedModel, "--temp", "0")
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines[0], 8, "the rest of the game")
	require.Contains(t, lines[1], "token")
	require.Contains(t, lines[2], "/temp needs a number")
	require.Contains(t, lines[3], "/nonsense")
	require.Contains(t, lines[4], "saved")
	require.Contains(t, lines[5], "nothing saved")
	require.Equal(t, lines[0], lines[6], "after /reset the conversation begins again")
	require.Contains(t, out, "/reset")
	require.Equal(t, 1, strings.Count(out, "Ctrl-C stops an answer"), "nothing is answered after /quit")
	b, err := os.ReadFile(saved)
	require.NoError(t, err)
	require.Equal(t, "user: 5\nassistant: "+lines[0]+"\n", string(b))

	_, err = use(t, chatCommand(), "", "--runs-dir", t.TempDir())
	require.ErrorContains(t, err, "no run")
	_, err = use(t, chatCommand(), "", shippedModel, "--format", "poem")
	require.ErrorContains(t, err, "chatml")
}

func TestPlayCommand(t *testing.T) {
	out, err := use(t, playCommand(), "", "tictactoe", shippedModel, "--against", "perfect")
	require.NoError(t, err)
	require.Contains(t, out, "a draw")
	out, err = use(t, playCommand(), "1\n1\nx\n", "tictactoe", shippedModel)
	require.NoError(t, err)
	require.Contains(t, out, "the model plays 5")
	require.Contains(t, out, "cell 1 is taken")
	require.Contains(t, out, "left the game")
	_, err = use(t, playCommand(), "", "tictactoe", shippedModel, "--as", "Z")
	require.ErrorAs(t, err, &usageError{})
}

func TestArenaCommand(t *testing.T) {
	out, err := use(t, arenaCommand(), "", shippedModel, "--games", "20", "--list")
	require.NoError(t, err)
	require.Equal(t, 20, strings.Count(out, "model X")+strings.Count(out, "model O"))
	require.Contains(t, out, "games lost   0.0% of 20 games\n")
	require.Regexp(t, `legal moves  100\.0% of \d+ moves\n`, out)
	out, err = use(t, arenaCommand(), "", shippedModel, "--games", "5", "--json")
	require.NoError(t, err)
	var v struct {
		Games  int
		Scores []runs.Score
	}
	require.NoError(t, json.Unmarshal([]byte(out), &v))
	require.Equal(t, 5, v.Games)
	found := map[string]runs.Score{}
	for _, s := range v.Scores {
		found[s.Name] = s
	}
	require.Equal(t, 5, found["games won"].Count)
	require.InDelta(t, 1, found["legal moves"].Value, 0)
}
