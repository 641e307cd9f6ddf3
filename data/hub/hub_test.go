//go:build !js

package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bitnet/data/hub/hubtest"

	"github.com/stretchr/testify/require"
)

func noise(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func testFiles() map[string][]byte {
	return map[string][]byte{
		"README.md":              []byte("# A data set\n"),
		"data/train-0.parquet":   noise(1, 700_001),
		"data/train-1.parquet":   noise(2, 300_000),
		"data/empty.parquet":     {},
		"with space/ü+%2f.jsonl": []byte("{}\n"),
	}
}

func client(t testing.TB, s *hubtest.Server, change func(*Config)) *Client {
	t.Helper()
	c := Config{Endpoint: s.URL, Cache: t.TempDir(), Backoff: time.Millisecond, Stall: 5 * time.Second}
	if change != nil {
		change(&c)
	}
	cl, err := New(c)
	require.NoError(t, err)
	return cl
}

func dataset(t testing.TB, name string) Repo {
	t.Helper()
	r, err := ParseRepo(Dataset, name)
	require.NoError(t, err)
	return r
}

// blobs lists what stands under blobs/, without what is incomplete.
func blobs(t testing.TB, c *Client, repo Repo) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(c.dir(repo), "blobs", "*"))
	require.NoError(t, err)
	var out []string
	for _, p := range all {
		if !strings.HasSuffix(p, ".incomplete") {
			out = append(out, filepath.Base(p))
		}
	}
	return out
}

func TestDownloadAll(t *testing.T) {
	for _, kind := range []Kind{Dataset, Model} {
		for _, noTree := range []bool{false, true} {
			s := hubtest.New(t)
			s.Token, s.PageSize, s.NoTree = "hf_secret", 2, noTree
			files := testFiles()
			commit := s.Add(kind.plural(), "org/name", files)
			c := client(t, s, func(c *Config) { c.Token = "hf_secret" })
			repo, err := ParseRepo(kind, "org/name")
			require.NoError(t, err)

			snap, err := c.List(t.Context(), repo)
			require.NoError(t, err)
			require.Equal(t, commit, snap.Commit)
			require.Len(t, snap.Files, len(files))
			require.False(t, snap.Cached)
			for _, f := range snap.Files {
				if noTree {
					require.EqualValues(t, -1, f.Size)
				} else {
					require.EqualValues(t, len(files[f.Path]), f.Size)
					require.Equal(t, hubtest.Hash(f.Path, files[f.Path]), f.Hash)
				}
			}
			paths, err := c.downloadAll(t.Context(), snap, snap.Files, 3)
			require.NoError(t, err)
			for i, p := range paths {
				got, err := os.ReadFile(p)
				require.NoError(t, err)
				require.Equal(t, files[snap.Files[i].Path], got, p)
				want := filepath.Join(c.Cache, kind.plural()+"--org--name", "snapshots", commit, filepath.FromSlash(snap.Files[i].Path))
				require.Equal(t, want, p)
				if runtime.GOOS != "windows" {
					to, err := os.Readlink(p)
					require.NoError(t, err)
					require.False(t, filepath.IsAbs(to))
					require.Equal(t, hubtest.Hash(snap.Files[i].Path, files[snap.Files[i].Path]), filepath.Base(to))
				}
			}
			ref, err := os.ReadFile(filepath.Join(c.dir(repo), "refs", "main"))
			require.NoError(t, err)
			require.Equal(t, commit, string(ref))
			require.False(t, s.Leaked(), "the token went to another host")

			// What is there is not asked for again.
			before := len(s.Requests())
			_, err = c.downloadAll(t.Context(), snap, snap.Files, 3)
			require.NoError(t, err)
			if !noTree {
				require.Len(t, s.Requests(), before)
			}

			// Offline the same, without a request, by name and by commit.
			before = len(s.Requests())
			off := client(t, s, func(o *Config) { o.Offline = true; o.Cache = c.Cache })
			for _, rev := range []string{"main", commit} {
				r := repo
				r.Revision = rev
				snap, err = off.List(t.Context(), r)
				require.NoError(t, err)
				require.True(t, snap.Cached)
				require.False(t, snap.Partial)
				got, err := off.downloadAll(t.Context(), snap, snap.Files, 3)
				require.NoError(t, err)
				require.Equal(t, paths, got)
			}
			require.Len(t, s.Requests(), before)
		}
	}
}

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

// A later run goes on where an earlier one was cut, and starts over when what
// was left is not the beginning of the file.
func TestResumeOfAnotherRun(t *testing.T) {
	const path = "data/train-0.parquet"
	content := testFiles()[path]
	for name, c := range map[string]struct {
		left []byte
		want string // the range asked first
		asks int
	}{
		"good":      {content[:123_456], "bytes=123456-", 1},
		"complete":  {content, "", 0},
		"too long":  {append(content[:len(content):len(content)], 1), "", 1},
		"bad":       {noise(9, 1000), "bytes=1000-", 2},
		"bad whole": {noise(9, len(content)), "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := hubtest.New(t)
			s.Add("datasets", "org/name", testFiles())
			cl := client(t, s, nil)
			snap, err := cl.List(t.Context(), dataset(t, "org/name"))
			require.NoError(t, err)
			f, _ := snap.File(path)
			part := cl.blob(snap.Repo, f.Hash) + ".incomplete"
			require.NoError(t, os.MkdirAll(filepath.Dir(part), 0o777))
			require.NoError(t, os.WriteFile(part, c.left, 0o666))
			got, err := cl.Download(t.Context(), snap, f, nil)
			require.NoError(t, err)
			b, err := os.ReadFile(got)
			require.NoError(t, err)
			require.Equal(t, content, b)
			var asked []string
			for _, r := range s.Requests() {
				if rest, ok := strings.CutPrefix(r, "store GET /"+f.Hash); ok {
					asked = append(asked, strings.TrimSpace(rest))
				}
			}
			require.Len(t, asked, c.asks)
			if c.asks > 0 {
				require.Equal(t, c.want, asked[0])
			}
		})
	}
}

// TestHelperProcess is not a test: it is the other process of the next one.
func TestHelperProcess(t *testing.T) {
	if os.Getenv("BITNET_HUB_HELPER") == "" {
		t.Skip("only run by TestTwoProcesses")
	}
	c, err := FromEnv()
	require.NoError(t, err)
	cl, err := New(c)
	require.NoError(t, err)
	snap, err := cl.List(t.Context(), dataset(t, "org/name"))
	require.NoError(t, err)
	_, err = cl.downloadAll(t.Context(), snap, snap.Files, 2)
	require.NoError(t, err)
}

func TestTwoProcesses(t *testing.T) {
	s := hubtest.New(t)
	files := testFiles()
	s.Add("datasets", "org/name", files)
	s.SetFault(func(host string, w http.ResponseWriter, r *http.Request) bool {
		if host == "store" {
			time.Sleep(100 * time.Millisecond) // so that they meet
		}
		return false
	})
	cache := t.TempDir()
	var wg sync.WaitGroup
	outs := make([]error, 2)
	for i := range outs {
		wg.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run=TestHelperProcess$")
			cmd.Env = append(os.Environ(), "BITNET_HUB_HELPER=1", "HF_ENDPOINT="+s.URL, "HF_HUB_CACHE="+cache, "HF_HOME="+t.TempDir(), "HF_HUB_OFFLINE=0")
			out, err := cmd.CombinedOutput()
			if err != nil {
				outs[i] = fmt.Errorf("%w: %s", err, out)
			}
		})
	}
	wg.Wait()
	for _, err := range outs {
		require.NoError(t, err)
	}
	cl := client(t, s, func(c *Config) { c.Cache, c.Offline = cache, true })
	snap, err := cl.List(t.Context(), dataset(t, "org/name"))
	require.NoError(t, err)
	require.Len(t, blobs(t, cl, snap.Repo), len(files))
	for _, f := range snap.Files {
		b, err := os.ReadFile(cl.pointer(snap, f.Path))
		require.NoError(t, err)
		require.Equal(t, files[f.Path], b)
		n := 0
		for _, r := range s.Requests() {
			if r == "store GET /"+f.Hash {
				n++
			}
		}
		if hubtest.IsLFS(f.Path) && f.Size > 0 {
			require.Equal(t, 1, n, "%s was fetched %d times", f.Path, n)
		}
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

func TestListFaults(t *testing.T) {
	hex := strings.Repeat("a", 40)
	rev := `{"sha":"` + hex + `","siblings":[]}`
	for name, c := range map[string]struct {
		rev, tree, want string
		link            string
	}{
		"not JSON":      {rev: "<html>", want: "not the answer of a hub"},
		"no commit":     {rev: `{"sha":"../../x"}`, want: "names no commit"},
		"negative size": {rev: rev, tree: `[{"type":"file","path":"a","size":-5,"oid":"` + hex + `"}]`, want: "listing of \"a\" is not valid"},
		"hash is path":  {rev: rev, tree: `[{"type":"file","path":"a","size":5,"oid":"../../etc"}]`, want: "is not valid"},
		"lfs hash":      {rev: rev, tree: `[{"type":"file","path":"a","size":5,"oid":"` + hex + `","lfs":{"oid":"ZZ","size":1}}]`, want: "is not valid"},
		"other host":    {rev: rev, tree: `[]`, link: `<http://example.invalid/next>; rel="next"`, want: "refused, not the hub"},
		"size overflow": {rev: rev, tree: `[{"type":"file","path":"a","size":1e30,"oid":"` + hex + `"}]`, want: "not the answer of a hub"},
	} {
		t.Run(name, func(t *testing.T) {
			s := hubtest.New(t)
			s.SetFault(func(host string, w http.ResponseWriter, r *http.Request) bool {
				if strings.Contains(r.URL.Path, "/revision/") {
					w.Write([]byte(c.rev))
				} else {
					if c.link != "" {
						w.Header().Set("Link", c.link)
					}
					w.Write([]byte(c.tree))
				}
				return true
			})
			_, err := client(t, s, nil).List(t.Context(), dataset(t, "org/name"))
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "org/name")
		})
	}
}

// Listings that never end are given up, each by what it repeats.
func TestEndlessListings(t *testing.T) {
	hex := strings.Repeat("a", 40)
	for name, c := range map[string]struct {
		tree func(n int, w http.ResponseWriter, r *http.Request)
		want string
	}{
		"the same link": {func(n int, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", `</api/datasets/org/name/tree/x?cursor=1>; rel="next"`)
			fmt.Fprintf(w, `[{"type":"file","path":"%d","size":1,"oid":"%s"}]`, n, hex)
		}, "repeats itself"},
		"empty pages": {func(n int, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", fmt.Sprintf(`</api/datasets/org/name/tree/x?cursor=%d>; rel="next"`, n))
			fmt.Fprint(w, `[]`)
		}, "pages in a row without a file"},
		"always new, slowly": {func(n int, w http.ResponseWriter, r *http.Request) {
			time.Sleep(5 * time.Millisecond)
			w.Header().Set("Link", fmt.Sprintf(`</api/datasets/org/name/tree/x?cursor=%d>; rel="next"`, n))
			fmt.Fprintf(w, `[{"type":"file","path":"%d","size":1,"oid":"%s"}]`, n, hex)
		}, "is not complete after 300ms"},
		"a byte now and then": {func(n int, w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				w.Write(make([]byte, 40))
				w.(http.Flusher).Flush()
				time.Sleep(10 * time.Millisecond)
			}
		}, "the server is too slow"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := hubtest.New(t)
			var n atomic.Int64
			s.SetFault(func(host string, w http.ResponseWriter, r *http.Request) bool {
				if strings.Contains(r.URL.Path, "/revision/") {
					w.Write([]byte(`{"sha":"` + hex + `","siblings":[]}`))
				} else {
					c.tree(int(n.Add(1)), w, r)
				}
				return true
			})
			cl := client(t, s, func(c *Config) {
				switch name {
				case "always new, slowly":
					c.Listing = 300 * time.Millisecond
				case "a byte now and then":
					c.Stall, c.Patience = time.Second, 300*time.Millisecond
				}
			})
			begun := time.Now()
			_, err := cl.List(t.Context(), dataset(t, "org/name"))
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "org/name")
			require.Less(t, time.Since(begun), 10*time.Second)
		})
	}
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

// What a hub says cannot steer a terminal.
func TestHostileNames(t *testing.T) {
	const evil = "a\x1b[31m\u009b2Jb\u202e.parquet"
	quoted, err := json.Marshal(evil)
	require.NoError(t, err)
	hex := strings.Repeat("a", 40)
	s := hubtest.New(t)
	s.SetFault(func(host string, w http.ResponseWriter, r *http.Request) bool {
		switch {
		case strings.Contains(r.URL.Path, "/revision/"):
			fmt.Fprintf(w, `{"sha":"%s"}`, hex)
		case strings.Contains(r.URL.Path, "/tree/"):
			fmt.Fprintf(w, `[{"type":"file","path":%s,"size":1,"oid":"%s"}]`, quoted, hex)
		default:
			http.Error(w, "no", http.StatusForbidden)
		}
		return true
	})
	c := client(t, s, nil)
	snap, err := c.List(t.Context(), dataset(t, "org/name"))
	require.NoError(t, err)
	require.Len(t, snap.Files, 1)
	for _, f := range snap.Files {
		_, err := c.Download(t.Context(), snap, f, nil)
		require.Error(t, err)
		require.Contains(t, err.Error(), `a\x1b[31m\u009b2Jb\u202e`)
		for _, r := range err.Error() {
			require.True(t, strconv.IsPrint(r), "%q in %q", r, err)
		}
	}
}

// A listing in the cache that was damaged or tampered with is refused.
func TestDamagedListing(t *testing.T) {
	s := hubtest.New(t)
	commit := s.Add("datasets", "org/name", testFiles())
	c := client(t, s, nil)
	_, err := c.List(t.Context(), dataset(t, "org/name"))
	require.NoError(t, err)
	off := client(t, s, func(n *Config) { n.Cache, n.Offline = c.Cache, true })
	for content, want := range map[string]string{
		"[{":                                    "not a listing of files",
		`[{"path":"a","size":-7}]`:              "has size -7",
		`[{"path":"a","size":1,"hash":"../x"}]`: `hash "../x"`,
	} {
		require.NoError(t, os.WriteFile(c.listing(dataset(t, "org/name"), commit), []byte(content), 0o666))
		_, err := off.List(t.Context(), dataset(t, "org/name"))
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "fetch it again")
	}
}

// The hub that lists a file at one commit must not serve it from another, nor
// announce another size.
func TestInconsistentHub(t *testing.T) {
	for header, value := range map[string]string{"X-Repo-Commit": strings.Repeat("b", 40), "X-Linked-Size": "17"} {
		s := hubtest.New(t)
		s.Add("datasets", "org/name", testFiles())
		c := client(t, s, nil)
		snap, err := c.List(t.Context(), dataset(t, "org/name"))
		require.NoError(t, err)
		s.SetFault(func(host string, w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set(header, value)
			w.Write(testFiles()["data/train-1.parquet"])
			return true
		})
		f, _ := snap.File("data/train-1.parquet")
		_, err = c.Download(t.Context(), snap, f, nil)
		require.ErrorContains(t, err, "the hub")
		require.Empty(t, blobs(t, c, snap.Repo))
	}
}

func TestPathTricks(t *testing.T) {
	s := hubtest.New(t)
	c := client(t, s, nil)
	snap := &Snapshot{Repo: dataset(t, "org/name"), Commit: strings.Repeat("a", 40)}
	for _, p := range []string{
		"", "..", "../x", "a/../../x", "/etc/passwd", "a//b", "a/./b", "a/", `..\x`, `a\b`, `C:\x`, "C:x", "c:/x",
		"a\x00b", "a\nb", "a/..", strings.Repeat("a/", 600) + "a", "\x7f",
	} {
		_, err := c.Download(t.Context(), snap, File{Path: p, Size: 1, Hash: strings.Repeat("a", 40)}, nil)
		require.ErrorContains(t, err, "refused", "%q", p)
	}
	require.Empty(t, s.Requests())
	for _, h := range []string{"../x", strings.Repeat("g", 40), "abc", strings.Repeat("A", 64)} {
		_, err := c.Download(t.Context(), snap, File{Path: "a", Size: 1, Hash: h}, nil)
		require.ErrorContains(t, err, "no hash to check")
	}
	require.NoError(t, checkPath("sample/10BT/000_00000.parquet"))
	require.NoError(t, checkPath("..a/b..c/... d/ü"))
}

func TestParseRepo(t *testing.T) {
	for in, want := range map[string]Repo{
		"org/name":           {Dataset, "org/name", "main"},
		"org/name@v1.0":      {Dataset, "org/name", "v1.0"},
		"org/name@refs/pr/1": {Dataset, "org/name", "refs/pr/1"},
		"gpt2":               {Dataset, "gpt2", "main"},
	} {
		got, err := ParseRepo(Dataset, in)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, bad := range []string{"", "/", "a/b/c", "../x", "a/..", "a--b/c", "org/na me", "org/name@", "org/name@../x", "org/name@a\\b", "-a/b", "org/"} {
		_, err := ParseRepo(Dataset, bad)
		require.Error(t, err, bad)
	}
}

func TestRevisions(t *testing.T) {
	s := hubtest.New(t)
	s.Add("datasets", "org/name", testFiles())
	c := client(t, s, nil)
	_, err := c.List(t.Context(), dataset(t, "org/name@refs/pr/1"))
	require.ErrorContains(t, err, "check the name and the revision")
	require.Contains(t, s.Requests()[0], "/revision/refs/pr/1")
	_, err = c.List(t.Context(), dataset(t, "org/none"))
	require.ErrorContains(t, err, "404")
}

func TestToken(t *testing.T) {
	s := hubtest.New(t)
	s.Token = "hf_secret"
	s.Add("datasets", "org/name", testFiles())
	_, err := client(t, s, nil).List(t.Context(), dataset(t, "org/name"))
	require.ErrorContains(t, err, "Access to this dataset is restricted.")
	require.ErrorContains(t, err, s.URL+"/datasets/org/name")
	require.ErrorContains(t, err, "set HF_TOKEN")
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

// A cache that another program filled has no listing of ours.
func TestForeignCache(t *testing.T) {
	commit := strings.Repeat("c", 40)
	hash := strings.Repeat("d", 64)
	cache := t.TempDir()
	root := filepath.Join(cache, "datasets--org--name")
	require.NoError(t, os.MkdirAll(filepath.Join(root, "blobs"), 0o777))
	require.NoError(t, os.MkdirAll(filepath.Join(root, "snapshots", commit, "data"), 0o777))
	require.NoError(t, os.MkdirAll(filepath.Join(root, "refs"), 0o777))
	require.NoError(t, os.WriteFile(filepath.Join(root, "refs", "main"), []byte(commit), 0o666))
	require.NoError(t, os.WriteFile(filepath.Join(root, "blobs", hash), []byte("text"), 0o666))
	require.NoError(t, link(t.Context(), filepath.Join(root, "blobs", hash), filepath.Join(root, "snapshots", commit, "data", "a.parquet")))
	c, err := New(Config{Cache: cache, Offline: true})
	require.NoError(t, err)
	snap, err := c.List(t.Context(), dataset(t, "org/name"))
	require.NoError(t, err)
	require.True(t, snap.Partial)
	require.Len(t, snap.Files, 1)
	require.Equal(t, "data/a.parquet", snap.Files[0].Path)
	require.EqualValues(t, 4, snap.Files[0].Size)
	p, err := c.Download(t.Context(), snap, snap.Files[0], nil)
	require.NoError(t, err)
	b, err := os.ReadFile(p)
	require.NoError(t, err)
	require.Equal(t, "text", string(b))
}

func TestWithoutSymlinks(t *testing.T) {
	symlink = func(string, string) error { return errors.New("not allowed") }
	defer func() { symlink = os.Symlink }()
	s := hubtest.New(t)
	files := testFiles()
	s.Add("datasets", "org/name", files)
	c := client(t, s, nil)
	snap, err := c.List(t.Context(), dataset(t, "org/name"))
	require.NoError(t, err)
	paths, err := c.downloadAll(t.Context(), snap, snap.Files, 2)
	require.NoError(t, err)
	for i, p := range paths {
		info, err := os.Lstat(p)
		require.NoError(t, err)
		require.True(t, info.Mode().IsRegular())
		b, err := os.ReadFile(p)
		require.NoError(t, err)
		require.Equal(t, files[snap.Files[i].Path], b)
	}
}

func TestCancel(t *testing.T) {
	s := hubtest.New(t)
	s.Add("datasets", "org/name", testFiles())
	c := client(t, s, nil)
	snap, err := c.List(t.Context(), dataset(t, "org/name"))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	s.SetFault(func(host string, w http.ResponseWriter, r *http.Request) bool {
		if host == "store" {
			cancel()
			<-r.Context().Done()
			return true
		}
		return false
	})
	_, err = c.downloadAll(ctx, snap, snap.Files, 1)
	require.ErrorIs(t, err, context.Canceled)
}

// Checking the hash of a file, which takes seconds for a large one, ends too, and
// keeps what was downloaded.
func TestCancelWhileChecking(t *testing.T) {
	s := hubtest.New(t)
	s.Add("datasets", "org/name", testFiles())
	c := client(t, s, nil)
	snap, err := c.List(t.Context(), dataset(t, "org/name"))
	require.NoError(t, err)
	f, _ := snap.File("data/train-0.parquet")
	ctx, cancel := context.WithCancel(t.Context())
	sum := int64(0)
	_, err = c.Download(ctx, snap, f, func(n int64, _ bool) {
		if sum += n; sum == f.Size {
			cancel() // all is there, and not yet checked
		}
	})
	require.ErrorIs(t, err, context.Canceled)
	left, err := os.ReadFile(c.blob(snap.Repo, f.Hash) + ".incomplete")
	require.NoError(t, err)
	require.Equal(t, testFiles()[f.Path], left)
	before := len(s.Requests())
	_, err = c.Download(t.Context(), snap, f, nil)
	require.NoError(t, err)
	require.Len(t, s.Requests(), before, "what was there was fetched again")
}

func TestTransferInOrder(t *testing.T) {
	s := hubtest.New(t)
	s.Add("datasets", "org/name", testFiles())
	c := client(t, s, nil)
	snap, err := c.List(t.Context(), dataset(t, "org/name"))
	require.NoError(t, err)
	files, err := snap.Match("data/train-*.parquet")
	require.NoError(t, err)
	require.Len(t, files, 2)
	hold := make(chan struct{})
	s.SetFault(func(host string, w http.ResponseWriter, r *http.Request) bool {
		if host == "store" && strings.Contains(r.URL.Path, files[1].Hash) {
			<-hold
		}
		return false
	})
	tr := c.Start(t.Context(), snap, files, 2)
	_, err = tr.Wait(t.Context(), 0) // usable while the second is held
	require.NoError(t, err)
	bytes, n := tr.Progress()
	require.Equal(t, 1, n)
	require.EqualValues(t, 700_001, bytes.Done)
	require.EqualValues(t, 1_000_001, bytes.Total)
	close(hold)
	_, err = tr.Wait(t.Context(), 1)
	require.NoError(t, err)
	_, err = snap.Match("[")
	require.Error(t, err)
}

func TestFromEnv(t *testing.T) {
	home := t.TempDir()
	for _, v := range []string{"HF_ENDPOINT", "HF_HUB_CACHE", "HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE"} {
		t.Setenv(v, "")
	}
	t.Setenv("HF_HOME", home)
	require.NoError(t, os.WriteFile(filepath.Join(home, "token"), []byte("hf_file\n"), 0o600))
	c, err := FromEnv()
	require.NoError(t, err)
	require.Equal(t, Config{Cache: filepath.Join(home, "hub"), Token: "hf_file"}, c)
	if _, err := os.Stat("/dev/zero"); err == nil {
		t.Setenv("HF_TOKEN_PATH", "/dev/zero") // which never ends
		c, err = FromEnv()
		require.NoError(t, err)
		require.Empty(t, c.Token)
	}
	t.Setenv("HF_TOKEN", "hf_env")
	t.Setenv("HF_HUB_OFFLINE", "True")
	t.Setenv("HF_HUB_CACHE", "elsewhere")
	t.Setenv("HF_ENDPOINT", "http://localhost:1/")
	c, err = FromEnv()
	require.NoError(t, err)
	require.Equal(t, Config{Endpoint: "http://localhost:1/", Cache: "elsewhere", Token: "hf_env", Offline: true}, c)
	t.Setenv("HF_HOME", "")
	t.Setenv("HF_HUB_CACHE", "")
	t.Setenv("XDG_CACHE_HOME", filepath.Join(home, "xdg"))
	c, err = FromEnv()
	require.NoError(t, err)
	require.Equal(t, filepath.Join(home, "xdg", "huggingface", "hub"), c.Cache)
	_, err = New(Config{Cache: "x", Token: "a\nb"})
	require.ErrorContains(t, err, "HF_TOKEN")
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

func TestNextLink(t *testing.T) {
	for in, want := range map[string]string{
		"":                             "",
		`<http://x/a?b=1>; rel="next"`: "http://x/a?b=1",
		`<http://x/p>; rel="prev", </n>; rel=next`: "/n",
		`http://x; rel="next"`:                     "",
		`<http://x/a>; title="next"`:               "",
	} {
		require.Equal(t, want, nextLink(http.Header{"Link": {in}}), in)
	}
}

// downloadAll brings all files into the cache and gives their paths, in order.
func (c *Client) downloadAll(ctx context.Context, s *Snapshot, files []File, parallel int) ([]string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t := c.Start(ctx, s, files, parallel)
	var first error
	for i := range files {
		<-t.done[i]
		if first == nil && t.errs[i] != nil {
			first = t.errs[i]
			cancel()
		}
	}
	return t.paths, first
}
