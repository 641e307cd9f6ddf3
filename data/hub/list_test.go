//go:build !js

package hub

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"bitnet/data/hub/hubtest"
)

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
