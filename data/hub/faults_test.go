//go:build !js

package hub

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"bitnet/data/hub/hubtest"
)

func TestDownloadFaults(t *testing.T) {
	const path = "data/train-0.parquet"
	content := testFiles()[path]
	random := rand.New(rand.NewPCG(5, 5))
	var mu sync.Mutex
	chance := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(n)
	}
	// cut answers with all headers of a whole answer, and a part of it.
	cut := func(w http.ResponseWriter, r *http.Request, n int) {
		from := 0
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
		w.Header().Set("Content-Length", fmt.Sprint(len(content)-from))
		if from > 0 {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
			w.WriteHeader(http.StatusPartialContent)
		}
		w.Write(content[from:min(from+n, len(content))])
		panic(http.ErrAbortHandler)
	}
	wrong := append([]byte{content[0] ^ 1}, content[1:]...)
	for name, c := range map[string]struct {
		fault func(n int, host string, w http.ResponseWriter, r *http.Request) bool // n: store requests so far
		want  string                                                                // "" means success
	}{
		"cut at random bytes": {func(n int, host string, w http.ResponseWriter, r *http.Request) bool {
			if n < 12 {
				cut(w, r, 1+len(content)/15+chance(len(content)/12))
			}
			return false
		}, ""},
		"cut always, at the same byte": {func(n int, host string, w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			w.Write(content[:1000])
			panic(http.ErrAbortHandler)
		}, "EOF"},
		"429 with Retry-After": {func(n int, host string, w http.ResponseWriter, r *http.Request) bool {
			if n < 3 {
				w.Header().Set("Retry-After", "0")
				http.Error(w, "slow down", http.StatusTooManyRequests)
				return true
			}
			return false
		}, ""},
		"500 some times": {func(n int, host string, w http.ResponseWriter, r *http.Request) bool {
			if n < 4 {
				http.Error(w, "oh", 500+n)
				return true
			}
			return false
		}, ""},
		"503 always": {func(n int, host string, w http.ResponseWriter, r *http.Request) bool {
			http.Error(w, "oh", 503)
			return true
		}, "503 Service Unavailable"},
		"403": {func(n int, host string, w http.ResponseWriter, r *http.Request) bool {
			http.Error(w, "no", 403)
			return true
		}, "set HF_TOKEN"},
		"wrong length announced": {func(n int, host string, w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)-1))
			w.Write(content[:len(content)-1])
			return true
		}, "700001 are missing"},
		"short without a length": {func(n int, host string, w http.ResponseWriter, r *http.Request) bool {
			w.(http.Flusher).Flush()
			w.Write(content[:5000])
			return true
		}, "unexpected EOF"},
		"endless body": {func(n int, host string, w http.ResponseWriter, r *http.Request) bool {
			w.(http.Flusher).Flush()
			for {
				if _, err := w.Write(content); err != nil {
					return true
				}
			}
		}, "sends more than the 700001 bytes"},
		"wrong content always": {func(n int, host string, w http.ResponseWriter, r *http.Request) bool {
			w.Write(wrong)
			return true
		}, "does not match the hash"},
		"wrong first part, then right": {func(n int, host string, w http.ResponseWriter, r *http.Request) bool {
			if n == 0 {
				w.Header().Set("Content-Length", fmt.Sprint(len(content)))
				w.Write(wrong[:400_000])
				panic(http.ErrAbortHandler)
			}
			return false
		}, "does not match the hash"}, // begun from nothing in this run: the server is to blame
		"no ranges": {func(n int, host string, w http.ResponseWriter, r *http.Request) bool {
			r.Header.Del("Range")
			if n < 2 {
				w.Header().Set("Content-Length", fmt.Sprint(len(content)))
				w.Write(content[:100_000*(n+1)])
				panic(http.ErrAbortHandler)
			}
			return false
		}, ""},
		"another range than asked": {func(n int, host string, w http.ResponseWriter, r *http.Request) bool {
			if n == 0 {
				cut(w, r, 100_000)
			}
			if n == 1 {
				r.Header.Set("Range", "bytes=5-")
			}
			return false
		}, ""},
		"range not satisfiable": {func(n int, host string, w http.ResponseWriter, r *http.Request) bool {
			if n == 0 {
				cut(w, r, 100_000)
			}
			if n == 1 {
				http.Error(w, "no", http.StatusRequestedRangeNotSatisfiable)
				return true
			}
			return false
		}, ""},
		"redirect loop": {func(n int, host string, w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, r.URL.Path+"?n="+fmt.Sprint(n), http.StatusFound)
			return true
		}, "more than 10 redirects"},
		"redirect to a file": {func(n int, host string, w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(302)
			return true
		}, "refused: not https"},
		"redirect to nowhere": {func(n int, host string, w http.ResponseWriter, r *http.Request) bool {
			w.WriteHeader(302)
			return true
		}, "without a usable Location"},
		"stall, then well": {func(n int, host string, w http.ResponseWriter, r *http.Request) bool {
			if n < 2 {
				w.Header().Set("Content-Length", fmt.Sprint(len(content)))
				w.Write(content[:200_000])
				w.(http.Flusher).Flush()
				<-r.Context().Done()
				return true
			}
			return false
		}, ""},
		"stall always": {func(n int, host string, w http.ResponseWriter, r *http.Request) bool {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return true
		}, "stalled"},
		"a byte now and then": {func(n int, host string, w http.ResponseWriter, r *http.Request) bool {
			for {
				w.Write([]byte{1})
				w.(http.Flusher).Flush()
				select {
				case <-r.Context().Done():
					return true
				case <-time.After(10 * time.Millisecond):
				}
			}
		}, "stalled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := hubtest.New(t)
			s.Add("datasets", "org/name", testFiles())
			s.Token = "hf_secret"
			var n atomic.Int64
			s.SetFault(func(host string, w http.ResponseWriter, r *http.Request) bool {
				if host != "store" {
					return false
				}
				return c.fault(int(n.Add(1)-1), host, w, r)
			})
			cl := client(t, s, func(c *Config) {
				c.Token = "hf_secret"
				c.Attempts = 5
				if strings.Contains(name, "stall") || strings.Contains(name, "byte now") {
					c.Stall = 150 * time.Millisecond
				}
			})
			snap, err := cl.List(t.Context(), dataset(t, "org/name"))
			require.NoError(t, err)
			f, ok := snap.File(path)
			require.True(t, ok)
			var sum atomic.Int64
			got, err := cl.Download(t.Context(), snap, f, func(n int64, _ bool) { sum.Add(n) })
			require.Positive(t, n.Load(), "the store was never asked")
			require.False(t, s.Leaked(), "the token went to another host")
			if c.want != "" {
				require.ErrorContains(t, err, c.want)
				require.ErrorContains(t, err, path)
				require.NotContains(t, err.Error(), "signature", "a signed address in a message")
				require.Empty(t, blobs(t, cl, snap.Repo))
				_, err := os.Lstat(cl.pointer(snap, path))
				require.ErrorIs(t, err, os.ErrNotExist)
				return
			}
			require.NoError(t, err)
			b, err := os.ReadFile(got)
			require.NoError(t, err)
			require.Equal(t, content, b)
			require.EqualValues(t, len(content), sum.Load(), "progress does not add up")
			left, err := filepath.Glob(filepath.Join(cl.dir(snap.Repo), "blobs", "*.incomplete"))
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}

func TestRedirects(t *testing.T) {
	s := hubtest.New(t)
	files := testFiles()
	s.Add("models", "org/new", files)
	s.Token = "hf_secret"
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A hostile store sends the client back to the hub: without the token.
		http.Redirect(w, r, s.URL+"/models/org/new/resolve/main/README.md", http.StatusFound)
	}))
	defer other.Close()
	var back atomic.Bool
	s.SetFault(func(host string, w http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/api/models/org/old") || strings.HasPrefix(r.URL.Path, "/org/old/") {
			// A renamed repository: relative, and needs the token again.
			w.Header().Set("Location", strings.Replace(r.URL.RequestURI(), "org/old", "org/new", 1))
			w.WriteHeader(http.StatusTemporaryRedirect)
			return true
		}
		if strings.HasPrefix(r.URL.Path, "/models/org/new/resolve/main/") {
			back.Store(true)
			require.Empty(t, r.Header.Get("Authorization"))
		}
		return false
	})
	c := client(t, s, func(c *Config) { c.Token = "hf_secret" })
	repo, err := ParseRepo(Model, "org/old")
	require.NoError(t, err)
	snap, err := c.List(t.Context(), repo)
	require.NoError(t, err)
	paths, err := c.downloadAll(t.Context(), snap, snap.Files, 2)
	require.NoError(t, err)
	require.Len(t, paths, len(files))
	require.False(t, s.Leaked())

	r, err := c.send(t.Context(), http.MethodGet, other.URL, nil)
	require.NoError(t, err)
	defer r.Close()
	require.True(t, back.Load())
	require.Equal(t, http.StatusUnauthorized, r.StatusCode)

	_, err = New(Config{Endpoint: "ftp://x", Cache: "c"})
	require.ErrorContains(t, err, "HF_ENDPOINT")
}

func TestNoDowngrade(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://example.invalid/", http.StatusFound)
	}))
	defer s.Close()
	c, err := New(Config{Endpoint: s.URL, Cache: t.TempDir(), Token: "x"})
	require.NoError(t, err)
	c.http.Transport = s.Client().Transport
	_, err = c.send(t.Context(), http.MethodGet, "/a", nil)
	require.ErrorContains(t, err, "refused: not https")
}

// A store that sends too little to stall is given up too; what came is kept.
func TestSlowStore(t *testing.T) {
	const path = "data/train-0.parquet"
	s := hubtest.New(t)
	s.Add("datasets", "org/name", testFiles())
	var slow atomic.Bool
	slow.Store(true)
	s.SetFault(func(host string, w http.ResponseWriter, r *http.Request) bool {
		if host != "store" || !slow.Load() {
			return false
		}
		for b := testFiles()[path]; len(b) > 0 && r.Context().Err() == nil; b = b[100:] {
			w.Write(b[:100])
			w.(http.Flusher).Flush()
			time.Sleep(5 * time.Millisecond)
		}
		return true
	})
	cl := client(t, s, func(c *Config) { c.Stall, c.Patience = 200*time.Millisecond, 500*time.Millisecond })
	snap, err := cl.List(t.Context(), dataset(t, "org/name"))
	require.NoError(t, err)
	f, _ := snap.File(path)
	_, err = cl.Download(t.Context(), snap, f, nil)
	require.ErrorContains(t, err, "the server is too slow")
	require.ErrorContains(t, err, "of 700001 bytes are kept: run the same command again to resume")
	slow.Store(false)
	p, err := cl.Download(t.Context(), snap, f, nil)
	require.NoError(t, err)
	b, err := os.ReadFile(p)
	require.NoError(t, err)
	require.Equal(t, testFiles()[path], b)
	requests := s.Requests()
	require.Contains(t, requests[len(requests)-1], "bytes=") // resumed
}

// When the hub is out of reach the cache answers; without one the message says
// how to go on.
func TestUnreachable(t *testing.T) {
	s := hubtest.New(t)
	s.Add("datasets", "org/name", testFiles())
	c := client(t, s, nil)
	repo := dataset(t, "org/name")
	first, err := c.List(t.Context(), repo)
	require.NoError(t, err)

	gone := httptest.NewServer(nil)
	gone.Close()
	lost := client(t, s, func(n *Config) { n.Endpoint, n.Cache = gone.URL, c.Cache })
	snap, err := lost.List(t.Context(), repo)
	require.NoError(t, err)
	require.True(t, snap.Cached)
	require.Equal(t, first.Files, snap.Files)
	_, err = lost.downloadAll(t.Context(), snap, snap.Files, 2)
	require.ErrorContains(t, err, "HF_HUB_OFFLINE=1")
	require.ErrorContains(t, err, "--data PATH")

	_, err = lost.List(t.Context(), dataset(t, "org/other"))
	require.ErrorContains(t, err, "HF_HUB_OFFLINE=1")
	require.ErrorContains(t, err, "--data PATH")

	off := client(t, s, func(n *Config) { n.Offline = true })
	_, err = off.List(t.Context(), repo)
	require.ErrorContains(t, err, "is not in the cache")
	require.ErrorContains(t, err, "--data PATH")
	off = client(t, s, func(n *Config) { n.Offline, n.Cache = true, c.Cache })
	_, err = off.downloadAll(t.Context(), first, first.Files, 2)
	require.ErrorContains(t, err, "HF_HUB_OFFLINE is set")
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for in, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "x": 0, "99999999": longestWait,
		now.Add(time.Minute).Format(http.TimeFormat): time.Minute,
		now.Add(-time.Hour).Format(http.TimeFormat):  0,
	} {
		require.Equal(t, want, retryAfter(in, now), in)
	}
}
