package serve

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/model/modeltest"
	"bitnet/data/tokenizer"
	"bitnet/graph"
)

// interop runs a client of others, which make interop installs, against a server and
// reads what it prints into got.
func interop(t *testing.T, url, script, module string, got any) {
	t.Helper()
	folder := os.Getenv("BITNET_INTEROP")
	if folder == "" {
		cache, err := os.UserCacheDir()
		require.NoError(t, err)
		folder = filepath.Join(cache, "bitnet", "interop-3.22.1")
	}
	if _, err := os.Stat(filepath.Join(folder, "node_modules", filepath.FromSlash(module))); err != nil {
		t.Skipf("%s is not installed: run make interop", module)
	}
	b, err := exec.CommandContext(t.Context(), "node", filepath.Join("..", "..", "testdata", "interop", script), folder, url, "game", "5").Output()
	if failed, ok := err.(*exec.ExitError); ok {
		t.Fatalf("%s", failed.Stderr)
	}
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, got), string(b))
}

// OpenAI's own client can talk to the server.
func TestInteropOpenAIClient(t *testing.T) {
	var got struct {
		Models                                   []string
		Text, Finish, Streamed, Chat, Stopped    string
		ChatStreamed                             string
		Tokens, Usage, Refused, Top              int
		LogProbs, ChatLogProbs, StreamedLogProbs []float64
		Same                                     []string
	}
	web, _ := start(t, DefaultLimits())
	interop(t, web.URL, "openai.mjs", "openai", &got)
	require.Equal(t, []string{"game"}, got.Models)
	require.Len(t, got.Text, 8)
	require.Equal(t, "stop", got.Finish)
	require.Equal(t, 8, got.Tokens)
	require.Equal(t, got.Text, got.Streamed)
	require.Equal(t, got.Text, got.Chat)
	require.Equal(t, got.Text, got.ChatStreamed)
	require.Equal(t, got.Text[:4], got.Stopped)
	require.Len(t, got.LogProbs, 8)
	require.Equal(t, got.LogProbs, got.ChatLogProbs)
	require.Equal(t, got.LogProbs, got.StreamedLogProbs)
	require.Equal(t, 2, got.Top)
	require.Equal(t, []string{got.Text, got.Text, got.Text, got.Text}, got.Same)
	require.Equal(t, 10, got.Usage)
	require.Equal(t, 404, got.Refused)
}

// Vercel's client can talk to the server. It makes a conversation of every prompt, so
// the model has to know all characters: this one has a token for each byte, and writes
// what its random weights say.
func TestInteropVercelClient(t *testing.T) {
	type answers struct {
		Text, Finish, Streamed, StreamedFinish, Stop, Stopped string
		Tokens, StreamedTokens                                int
	}
	var got struct {
		Chat, Completion answers
		Refused          int
		Message          string
	}
	tok, err := tokenizer.Train(t.Context(), slices.Values([]string{"a text"}), tokenizer.TrainOptions{VocabSize: 256})
	require.NoError(t, err)
	dev := modeltest.Device(t)
	web, _ := startModel(t, &infer.Model{Model: modeltest.Random(t, dev, modeltest.Tiny(256, 128), graph.TargetOf(dev.Adapter())), Tokenizer: tok}, DefaultLimits(), Access{})
	interop(t, web.URL, "vercel.mjs", "@ai-sdk/openai-compatible", &got)
	for _, a := range []answers{got.Chat, got.Completion} {
		require.NotEmpty(t, a.Text)
		require.Equal(t, []string{"length", "length"}, []string{a.Finish, a.StreamedFinish})
		require.Equal(t, []int{20, 20}, []int{a.Tokens, a.StreamedTokens})
		require.Equal(t, a.Text, a.Streamed)
		before, _, found := strings.Cut(a.Text, a.Stop)
		require.True(t, found)
		require.Equal(t, before, a.Stopped)
	}
	require.NotEqual(t, got.Chat.Text, got.Completion.Text)
	require.Equal(t, 404, got.Refused)
	require.Contains(t, got.Message, "the model here is")
}
