package web

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// built makes a folder as make web does, as far as serving it goes.
func built(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "web")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "tictactoe"), 0o755))
	for name, text := range map[string]string{
		"index.html": "<!doctype html>", "app.js": "let a = 1;", Program: "\x00asm", Program + ".br": "brotli", "tictactoe/config.json": "{}", "tictactoe/model.safetensors": "weights",
		"only.js.gz": "x",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), []byte(text), 0o600))
	}
	f, err := os.Create(filepath.Join(dir, Program+".gz"))
	require.NoError(t, err)
	w := gzip.NewWriter(f)
	_, err = w.Write([]byte("\x00asm"))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, f.Close())
	return dir
}

func ask(h http.Handler, target string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", target, nil)
	r.Host = "localhost"
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// Each file has its type and the best encoding that the browser takes.
func TestServes(t *testing.T) {
	h, err := Handler(built(t))
	require.NoError(t, err)
	for _, row := range []struct{ path, accept, kind, encoding, body string }{
		{"/", "", "text/html; charset=utf-8", "", "<!doctype html>"},
		{"/app.js", "br, gzip", "text/javascript; charset=utf-8", "", "let a = 1;"},
		{"/" + Program, "gzip, deflate, br", "application/wasm", "br", "brotli"},
		{"/" + Program, "gzip;q=0.5, br;q=0", "application/wasm", "gzip", ""},
		{"/" + Program, "br; q = 0.2", "application/wasm", "br", "brotli"},
		{"/" + Program, "", "application/wasm", "", "\x00asm"},
		{"/" + Program, "identity, brotli", "application/wasm", "", "\x00asm"},
		{"/tictactoe/config.json", "", "application/json", "", "{}"},
		{"/tictactoe/model.safetensors", "br", "application/octet-stream", "", "weights"},
	} {
		w := ask(h, row.path, "Accept-Encoding", row.accept)
		require.Equal(t, 200, w.Code, row.path)
		require.Equal(t, row.kind, w.Header().Get("Content-Type"), row.path)
		require.Equal(t, row.encoding, w.Header().Get("Content-Encoding"), "%s for %q", row.path, row.accept)
		require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
		require.Contains(t, w.Header().Get("Content-Security-Policy"), common)
		require.Equal(t, row.path == "/", w.Header().Get("Content-Security-Policy") == policy, row.path)
		require.Contains(t, w.Header().Get("Vary"), "Accept-Encoding")
		if row.encoding == "gzip" {
			r, err := gzip.NewReader(w.Body)
			require.NoError(t, err)
			text, err := io.ReadAll(r)
			require.NoError(t, err)
			require.Equal(t, "\x00asm", string(text))
			continue
		}
		require.Equal(t, row.body, w.Body.String())
		again := ask(h, row.path, "Accept-Encoding", row.accept, "If-None-Match", w.Header().Get("ETag"))
		require.Equal(t, 304, again.Code, row.path)
		require.Empty(t, again.Body.String())
	}
	// A copy in one encoding is not taken for the other.
	brotli := ask(h, "/"+Program, "Accept-Encoding", "br").Header().Get("ETag")
	require.Equal(t, 200, ask(h, "/"+Program, "Accept-Encoding", "gzip", "If-None-Match", brotli).Code)
}

// No request reaches a file outside of the folder, a folder, or a compressed copy
// by its own name.
func TestOnlyTheFolder(t *testing.T) {
	dir := built(t)
	secret := filepath.Join(filepath.Dir(dir), "secret.txt")
	require.NoError(t, os.WriteFile(secret, []byte("hunter2"), 0o600))
	require.NoError(t, os.Symlink(secret, filepath.Join(dir, "link.txt")))
	h, err := Handler(dir)
	require.NoError(t, err)
	for _, path := range []string{
		"/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/tictactoe/../../secret.txt", "/link.txt", "/tictactoe", "/tictactoe/", "/.", "//etc/passwd", "/nothing",
		"/" + Program + ".br", "/" + Program + ".gz", "/only.js", "/app.js/", "/app.js%00", "/C:/x", `/..\secret.txt`,
	} {
		w := ask(h, path, "Accept-Encoding", "br, identity")
		require.Equal(t, 404, w.Code, path)
		require.NotContains(t, w.Body.String(), "hunter2")
		require.Empty(t, w.Header().Get("Content-Encoding"), path)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Host = "evil.example"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Equal(t, 403, w.Code)
	require.Contains(t, w.Body.String(), "bitnet web")
}

// The folder is found next to the program or where make web puts it, or else the
// error says how to build it.
func TestFind(t *testing.T) {
	t.Chdir(t.TempDir())
	_, err := Find("")
	require.ErrorContains(t, err, "run make web")
	dir := built(t)
	got, err := Find(dir)
	require.NoError(t, err)
	require.Equal(t, dir, got)
	require.NoError(t, os.Remove(filepath.Join(dir, Program)))
	_, err = Find(dir)
	require.ErrorContains(t, err, "it has no "+Program)
	_, err = Find(filepath.Join(dir, "index.html"))
	require.Error(t, err)
	require.NotContains(t, err.Error(), "\n")

	require.NoError(t, os.MkdirAll("build", 0o755))
	require.NoError(t, os.CopyFS(filepath.Join("build", "web"), os.DirFS(built(t))))
	got, err = Find("")
	require.NoError(t, err)
	require.Equal(t, filepath.Join("build", "web"), got)
}

// On a host that sends no headers the page brings the same policy itself, but for
// the part that browsers take from headers alone.
func TestPageHasThePolicy(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "cmd", "web", "page", "index.html"))
	require.NoError(t, err)
	m := regexp.MustCompile(`http-equiv="Content-Security-Policy" content="([^"]+)"`).FindSubmatch(text)
	require.NotNil(t, m)
	require.Equal(t, strings.Replace(policy, "; frame-ancestors 'none'", "", 1), string(m[1]))
}

// The page needs nothing from elsewhere and holds nothing inline, which its policy
// would forbid; what it shows goes in as text.
func TestPageIsItsOwn(t *testing.T) {
	foreign := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9-]+\.[a-z]`)
	inline := regexp.MustCompile(`(?i)<script>|<style|\sstyle=|\son[a-z]+=|javascript:|innerHTML|outerHTML|insertAdjacentHTML|eval\(|document\.write`)
	dir := filepath.Join("..", "..", "cmd", "web", "page")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.NotEmpty(t, entries)
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		// The address of the tunnel in support.js is this machine's own.
		require.Empty(t, foreign.FindString(strings.ReplaceAll(string(text), "http://127.0.0.1:6007", "")), e.Name())
		require.Empty(t, inline.FindString(string(text)), e.Name())
	}
}
