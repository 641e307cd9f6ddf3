package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/web"
)

// Without a folder the command says in one line how to build it.
func TestWebNotBuilt(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, args := range [][]string{{"web"}, {"web", "--dir", "nowhere"}} {
		_, stderr, code := command(t, args...)
		require.Equal(t, 1, code)
		require.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
		require.Contains(t, stderr, "make web")
	}
}

// The command prints an address, serves the folder there, and ends with its context.
func TestWebServes(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"index.html": "<!doctype html>", web.Program: "\x00asm"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	r, w := io.Pipe()
	root := rootCommand()
	root.SetArgs([]string{"web", "--dir", dir, "--addr", "127.0.0.1:0"})
	root.SetOut(w)
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, root) }()
	line, err := bufio.NewReader(r).ReadString('\n')
	require.NoError(t, err)
	url, _, _ := strings.Cut(line, " ")
	require.True(t, strings.HasPrefix(url, "http://127.0.0.1:"), line)
	answer, err := http.Get(url + web.Program)
	require.NoError(t, err)
	defer answer.Body.Close()
	require.Equal(t, "application/wasm", answer.Header.Get("Content-Type"))
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.Equal(t, "\x00asm", string(body))
	stop()
	require.Equal(t, 0, <-ended)
}
