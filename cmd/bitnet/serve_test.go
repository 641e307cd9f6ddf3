package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
)

func TestServeMistakes(t *testing.T) {
	t.Setenv("BITNET_API_KEY", "")
	empty := filepath.Join(t.TempDir(), "key.txt")
	require.NoError(t, os.WriteFile(empty, []byte("\n"), 0o600))
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--addr", "0.0.0.0:0"}, "--api-key-file"},
		{[]string{"--addr", "nowhere"}, "--addr"},
		{[]string{"--api-key", "a", "--api-key-file", "b"}, "give one of them"},
		{[]string{"--api-key-file", empty}, "is empty"},
		{[]string{"--api-key-file", empty + "x"}, "--api-key-file"},
		{[]string{"--api-key-file", filepath.Dir(empty)}, "--api-key-file"},
		{[]string{"--log-texts"}, "--log FILE"},
		{[]string{"--log", filepath.Join(empty, "log")}, "--log"},
		{[]string{"--parallel", "-1"}, "--parallel"},
		{[]string{"--parallel", "1000"}, "want 1 to 256"},
		{[]string{"--queue", "-1"}, "--queue"},
		{[]string{"--max-tokens", "0"}, "--max-tokens"},
		{[]string{"--allow-origin", "example.org"}, "not an origin"},
		{[]string{"--context", "4000"}, "longer than the model's"},
		{[]string{"--context", "-1"}, "want 1 or more"},
		{[]string{"--format", "poem"}, "chatml"},
	} {
		_, err := use(t, serveCommand(), "", append([]string{shippedModel}, c.args...)...)
		require.ErrorContains(t, err, c.says, c.args)
		require.NotContains(t, err.Error(), "\n", c.args)
	}
}

// The server listens, wants its key, writes its log and stops when it is told to.
func TestServeCommand(t *testing.T) {
	dev, err := gpu.Open("")
	if err != nil {
		t.Skip("no adapter: run gpu/install-vulkan.sh")
	}
	dev.Close()
	dir := t.TempDir()
	key, log := filepath.Join(dir, "key.txt"), filepath.Join(dir, "requests.jsonl")
	require.NoError(t, os.WriteFile(key, []byte("a secret\n"), 0o600))
	c := serveCommand()
	out, in := io.Pipe()
	c.SilenceUsage, c.SilenceErrors = true, true
	c.SetArgs([]string{shippedModel, "--addr", "127.0.0.1:0", "--api-key-file", key, "--log", log, "--log-texts", "--parallel", "3", "--name", "game"})
	c.SetOut(in)
	c.SetErr(io.Discard)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		err := c.ExecuteContext(ctx)
		in.CloseWithError(io.EOF)
		ended <- err
	}()
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "serving game on http://127.0.0.1:")
	require.Contains(t, line, "3 at once with 48 tokens of context each")
	line, err = lines.ReadString('\n')
	require.NoError(t, err)
	url := regexp.MustCompile(`http://[0-9.:]+`).FindString(line)
	go func() { _, _ = io.Copy(io.Discard, lines) }()

	ask := func(key string) (int, string) {
		r, err := http.NewRequest("POST", url+"/v1/completions", strings.NewReader(`{"prompt": "5", "temperature": 0}`))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+key)
		got, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer got.Body.Close()
		text, err := io.ReadAll(got.Body)
		require.NoError(t, err)
		return got.StatusCode, string(text)
	}
	status, text := ask("a secret")
	require.Equal(t, 200, status, text)
	status, _ = ask("another")
	require.Equal(t, 401, status)
	stop()
	require.NoError(t, <-ended)
	written, err := os.ReadFile(log)
	require.NoError(t, err)
	require.Len(t, strings.Split(strings.TrimSpace(string(written)), "\n"), 2)
	require.Contains(t, string(written), `"prompts":["\u003cs\u003e5"]`)
	require.NotContains(t, string(written), "a secret")
	if runtime.GOOS != "windows" {
		info, err := os.Stat(log)
		require.NoError(t, err)
		require.Zero(t, info.Mode().Perm()&0o077, "others cannot read it")
	}
}
