//go:build !js

package hub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// inMemory answers requests without a connection.
type inMemory func(r *http.Request) *http.Response

func (f inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	resp := f(r)
	resp.Request = r
	return resp, nil
}

func answer(code int, header http.Header, body []byte) *http.Response {
	length := int64(len(body))
	if n, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64); err == nil {
		length = n
	}
	return &http.Response{StatusCode: code, Status: strconv.Itoa(code), Header: header, ContentLength: length, Body: io.NopCloser(bytes.NewReader(body))}
}

// lines reads headers, one a line.
func lines(s string) http.Header {
	h := http.Header{}
	for line := range strings.SplitSeq(s, "\n") {
		if k, v, ok := strings.Cut(line, ": "); ok {
			h.Add(k, v)
		}
	}
	return h
}

func fuzzClient(t testing.TB, cache string, f inMemory) *Client {
	c, err := New(Config{Endpoint: "http://hub.invalid", Cache: cache, Token: "hf_secret", Backoff: time.Nanosecond, Attempts: 2})
	require.NoError(t, err)
	c.http.Transport, c.up.Transport = f, f
	return c
}

// Whatever a hub lists, List ends, and what it takes is sound.
func FuzzListing(f *testing.F) {
	hex := strings.Repeat("a", 40)
	f.Add(`{"sha":"`+hex+`","siblings":[{"rfilename":"a"}]}`, `[{"type":"file","path":"a","size":1,"oid":"`+hex+`"}]`, `Link: </next>; rel="next"`, 200)
	f.Add(`{"sha":"`+hex+`","siblings":[{"rfilename":"a"}]}`, `x`, "", 404)
	f.Add(`{"sha":"x"}`, `[{"type":"file","path":"../a","size":-1}]`, "Link: <http://other.invalid/>; rel=next", 302)
	cache := f.TempDir()
	repo := dataset(f, "org/name")
	f.Fuzz(func(t *testing.T, revision, tree, header string, code int) {
		c := fuzzClient(t, cache, func(r *http.Request) *http.Response {
			if r.URL.Host != "hub.invalid" {
				require.Empty(t, r.Header.Get("Authorization"))
			}
			if strings.Contains(r.URL.Path, "/revision/") {
				return answer(200, http.Header{}, []byte(revision))
			}
			return answer(100+code&0x1ff, lines(header), []byte(tree))
		})
		snap, err := c.list(t.Context(), repo)
		if err != nil {
			return
		}
		require.Regexp(t, commitID, snap.Commit)
		for _, f := range snap.Files {
			require.True(t, f.Size == -1 && f.Hash == "" || f.Size >= 0 && (commitID.MatchString(f.Hash) || sha256ID.MatchString(f.Hash)))
		}
		c.Offline = true
		again, err := c.List(t.Context(), Repo{repo.Kind, repo.Name, snap.Commit})
		require.NoError(t, err)
		require.Equal(t, len(snap.Files), len(again.Files))
	})
}

// Whatever headers and bytes come, a file that appears in the cache is the one
// that was asked for.
func FuzzDownload(f *testing.F) {
	content := []byte("the content")
	sum := sha256.Sum256(content)
	file := File{Path: "a", Size: int64(len(content)), Hash: hex.EncodeToString(sum[:])}
	f.Add("Etag: \"x\"", content, 200, content[:4])
	f.Add("Content-Range: bytes 4-10/11", content[4:], 206, content[:4])
	f.Add("Location: http://other.invalid/x\nRetry-After: 0", content, 302, []byte{})
	f.Add("X-Repo-Commit: x\nX-Linked-Size: 11\nContent-Length: 5", content, 429, content)
	cache := f.TempDir()
	snap := &Snapshot{Repo: dataset(f, "org/name"), Commit: strings.Repeat("a", 40)}
	f.Fuzz(func(t *testing.T, header string, body []byte, code int, left []byte) {
		c := fuzzClient(t, cache, func(r *http.Request) *http.Response {
			if r.URL.Host != "hub.invalid" {
				require.Empty(t, r.Header.Get("Authorization"))
				return answer(200, http.Header{}, body)
			}
			h := lines(header)
			h.Del("Retry-After") // waits for up to minutes
			return answer(100+code&0x1ff, h, body)
		})
		pointer, blob := c.pointer(snap, "a"), c.blob(snap.Repo, file.Hash)
		os.Remove(pointer)
		os.Remove(blob)
		require.NoError(t, os.MkdirAll(filepath.Dir(blob), 0o777))
		require.NoError(t, os.WriteFile(blob+".incomplete", left, 0o666))
		p, err := c.Download(t.Context(), snap, file, nil)
		if err != nil {
			require.NoFileExists(t, pointer)
			return
		}
		got, err := os.ReadFile(p)
		require.NoError(t, err)
		require.Equal(t, content, got)
	})
}

// Whatever a hub answers to a push, it ends, shows the token to no other host and
// sends files to http addresses alone; and it succeeds only if the hub lists what
// was sent.
func FuzzPush(f *testing.F) {
	content := []byte("the content")
	sum := sha256.Sum256(content)
	sha := hex.EncodeToString(sum[:])
	commit := strings.Repeat("a", 40)
	f.Add(`{"sha":"`+commit+`"}`, `[]`, `{"files":[{"path":"a","uploadMode":"lfs"}]}`, `{"objects":[{"oid":"`+sha+`","actions":{"upload":{"href":"http://store.invalid/x","header":{"chunk_size":"6","1":"http://store.invalid/1","2":"http://store.invalid/2"}},"verify":{"href":"http://hub.invalid/v"}}}]}`, `{"commitOid":"`+commit+`"}`, 200)
	f.Add(`{"sha":"`+commit+`"}`, `[{"type":"file","path":"a","size":11,"oid":"`+sha+`"}]`, `{"files":[{"path":"a","uploadMode":"regular"}]}`, `{"objects":[]}`, `{}`, 412)
	cache := f.TempDir()
	repo, err := ParseRepo(Model, "org/name")
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, revision, tree, pre, batch, committed string, code int) {
		requests := 0
		c := fuzzClient(t, cache, func(r *http.Request) *http.Response {
			requests++
			require.Less(t, requests, 200, "it ends")
			require.Contains(t, []string{"http", "https"}, r.URL.Scheme)
			if r.URL.Host != "hub.invalid" {
				require.Empty(t, r.Header.Get("Authorization"))
			}
			if r.Body != nil {
				io.Copy(io.Discard, r.Body)
			}
			say := func(s string) *http.Response { return answer(200, http.Header{}, []byte(s)) }
			switch p := r.URL.Path; {
			case r.Method == http.MethodPut:
				return answer(200, http.Header{"Etag": {"x"}}, nil)
			case strings.Contains(p, "/revision/"):
				return say(revision)
			case strings.Contains(p, "/tree/"):
				return say(tree)
			case strings.Contains(p, "/preupload/"):
				return say(pre)
			case strings.HasSuffix(p, "/batch"):
				return say(batch)
			case strings.Contains(p, "/commit/"):
				return answer(100+code&0x1ff, http.Header{}, []byte(committed))
			}
			return say("{}")
		})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		done, err := c.Push(ctx, repo, []Source{{Path: "a", Data: content}}, PushOptions{Message: "x"})
		require.NoError(t, ctx.Err())
		if err == nil {
			require.Equal(t, 1, done.Sent+done.Kept+strings.Count(pre, "shouldIgnore"))
			require.Contains(t, tree, "a")
		}
	})
}

// Headers never panic, and waits are bounded.
func FuzzHeaders(f *testing.F) {
	f.Add(`<http://x/a?b=1>; rel="next"`)
	f.Add("bytes 5-9/10")
	f.Add("Thu, 01 Jan 1970 00:00:00 GMT")
	f.Add("99999999")
	f.Fuzz(func(t *testing.T, s string) {
		if link := nextLink(http.Header{"Link": {s}}); link != "" {
			require.Contains(t, s, "<"+link+">")
		}
		if from, total, ok := contentRange(s); ok {
			require.True(t, strings.HasPrefix(s, "bytes "))
			_, _ = from, total
		}
		wait := retryAfter(s, time.Now())
		require.True(t, wait >= 0 && wait <= longestWait)
		for _, r := range short(s) {
			require.True(t, r == '\uFFFD' || strconv.IsGraphic(r), "%q", r)
		}
	})
}

func FuzzCheckPath(f *testing.F) {
	for _, p := range []string{"a/b", "../a", "a/../b", `a\b`, "C:a", "/a", "a\x00", "a/./b"} {
		f.Add(p)
	}
	root := f.TempDir()
	f.Fuzz(func(t *testing.T, p string) {
		if checkPath(p) != nil {
			return
		}
		full := filepath.Join(root, filepath.FromSlash(p))
		rel, err := filepath.Rel(root, full)
		require.NoError(t, err)
		require.True(t, filepath.IsLocal(rel))
		require.Equal(t, p, filepath.ToSlash(rel))
	})
}
