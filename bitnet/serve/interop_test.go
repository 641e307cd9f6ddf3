package serve

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// OpenAI's own client can talk to the server; make interop installs it.
func TestInteropOpenAIClient(t *testing.T) {
	folder := os.Getenv("BITNET_INTEROP")
	if folder == "" {
		cache, err := os.UserCacheDir()
		require.NoError(t, err)
		folder = filepath.Join(cache, "bitnet", "interop-3.22.1")
	}
	if _, err := os.Stat(filepath.Join(folder, "node_modules", "openai")); err != nil {
		t.Skip("OpenAI's client is not installed: run make interop")
	}
	web, _ := start(t, DefaultLimits())
	script := filepath.Join("..", "..", "testdata", "interop", "openai.mjs")
	b, err := exec.CommandContext(t.Context(), "node", script, folder, web.URL, "game", "5").Output()
	if failed, ok := err.(*exec.ExitError); ok {
		t.Fatalf("%s", failed.Stderr)
	}
	require.NoError(t, err)
	var got struct {
		Models                       []string
		Text, Finish, Streamed, Chat string
		ChatStreamed                 string
		Tokens, Usage, Refused       int
	}
	require.NoError(t, json.Unmarshal(b, &got), string(b))
	require.Equal(t, []string{"game"}, got.Models)
	require.Len(t, got.Text, 8)
	require.Equal(t, "stop", got.Finish)
	require.Equal(t, 8, got.Tokens)
	require.Equal(t, got.Text, got.Streamed)
	require.Equal(t, got.Text, got.Chat)
	require.Equal(t, got.Text, got.ChatStreamed)
	require.Equal(t, 10, got.Usage)
	require.Equal(t, 404, got.Refused)
}
