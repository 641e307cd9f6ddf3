package page

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

func TestTakenPort(t *testing.T) {
	l, err := Listen("127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	_, err = Listen(l.Addr().String())
	require.ErrorContains(t, err, "is taken by another program: try --addr 127.0.0.1:")
	require.NotContains(t, err.Error(), "\n")
	hint := err.Error()[strings.LastIndex(err.Error(), " ")+1:]
	other, err := Listen(hint)
	require.NoError(t, err, "the address named is free")
	other.Close()
	_, err = Listen("nonsense")
	require.ErrorContains(t, err, "for example 127.0.0.1:6006")
}

// A page has the shared files and its own, each with its type; a name that both
// have is an error.
func TestFiles(t *testing.T) {
	all, err := Files(fstest.MapFS{"index.html": {Data: []byte("<!doctype html>")}})
	require.NoError(t, err)
	require.Equal(t, "text/html; charset=utf-8", all["index.html"].Kind)
	require.Equal(t, "text/javascript; charset=utf-8", all["chart.js"].Kind)
	require.Equal(t, "text/css; charset=utf-8", all["base.css"].Kind)
	_, err = Files(fstest.MapFS{"chart.js": {}})
	require.ErrorContains(t, err, "second chart.js")
	require.Equal(t, "application/octet-stream", Type("model.safetensors"))
}

// The guard's headers and messages are those of the page that it guards.
func TestGuard(t *testing.T) {
	h := Rules{Policy: "default-src 'self'", Names: []string{"mybox"}, Command: "bitnet web"}.Guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("here"))
	}))
	for _, row := range []struct {
		method, host, want string
		code               int
	}{
		{"GET", "localhost", "here", 200}, {"GET", "mybox", "here", 200}, {"GET", "evil.example", "the one that bitnet web printed", 403}, {"POST", "localhost", "only reads", 405},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(row.method, "/", nil)
		r.Host = row.host
		h.ServeHTTP(w, r)
		require.Equal(t, row.code, w.Code, row.host)
		require.True(t, strings.Contains(w.Body.String(), row.want), w.Body.String())
		require.Equal(t, "default-src 'self'", w.Header().Get("Content-Security-Policy"))
	}
}
