//go:build !js

package hub

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bitnet/data/hub/hubtest"
	"bitnet/data/meter"

	"github.com/stretchr/testify/require"
)

func pushHub(t *testing.T, change func(*Config)) (*hubtest.Server, *Client) {
	t.Helper()
	s := hubtest.New(t)
	s.Writer, s.PartSize = "hf_write", 100_000
	c := client(t, s, func(c *Config) {
		c.Token = "hf_write"
		if change != nil {
			change(c)
		}
	})
	return s, c
}

func model(t testing.TB, name string) Repo {
	t.Helper()
	r, err := ParseRepo(Model, name)
	require.NoError(t, err)
	return r
}

// pushFiles are small and large files, local ones and data.
func pushFiles(t *testing.T) (files map[string][]byte, sources []Source) {
	t.Helper()
	files = map[string][]byte{
		"README.md":             []byte("# A <model> & more\n"),
		"config.json":           []byte("{}\n"),
		"empty.txt":             {},
		"sub/ü+%2f name.json":   noise(1, 5000),
		"small.safetensors":     noise(2, 50_000),
		"model.safetensors":     noise(3, 350_000), // in parts
		"exact.safetensors":     noise(4, 200_000), // two whole parts
		"sub/empty.safetensors": {},
	}
	dir := t.TempDir()
	for p, b := range files {
		src := Source{Path: p, Data: b}
		if strings.HasSuffix(p, "s") { // the large ones
			src = Source{Path: p, Local: filepath.Join(dir, filepath.Base(p))}
			require.NoError(t, os.WriteFile(src.Local, b, 0o644))
		}
		sources = append(sources, src)
	}
	return files, sources
}

func requireHeld(t *testing.T, s *hubtest.Server, name string, want map[string][]byte) {
	t.Helper()
	got, _ := s.Files("models", name)
	delete(got, ".gitattributes")
	require.Len(t, got, len(want))
	for p, b := range want {
		require.Equal(t, len(b), len(got[p]), p)
		require.True(t, string(b) == string(got[p]), p)
	}
}

func TestPush(t *testing.T) {
	for _, noTree := range []bool{false, true} {
		s, c := pushHub(t, nil)
		s.NoTree = noTree
		files, sources := pushFiles(t)
		var total int64
		for _, b := range files {
			total += int64(len(b))
		}
		m := meter.New(total)
		done, err := c.Push(t.Context(), model(t, "me/mine"), sources, PushOptions{Message: "First", Private: true, Parallel: 3, Meter: m})
		require.NoError(t, err)
		require.True(t, done.Created)
		require.Equal(t, len(files), done.Sent)
		require.Equal(t, total, done.SentBytes)
		require.Equal(t, total, m.Read().Done, "every byte is counted once")
		require.Equal(t, s.URL+"/me/mine", done.Page)
		requireHeld(t, s, "me/mine", files)
		_, private := s.Files("models", "me/mine")
		require.True(t, private)
		require.False(t, s.Leaked(), "the token went to another host")

		// What was pushed can be pulled.
		snap, err := c.List(t.Context(), model(t, "me/mine"))
		require.NoError(t, err)
		require.Equal(t, done.Commit, snap.Commit)
		paths, err := c.downloadAll(t.Context(), snap, snap.Files, 2)
		require.NoError(t, err)
		require.Len(t, paths, len(files)+1)
	}
}

// A second push sends what changed, and nothing where nothing did.
func TestPushAgain(t *testing.T) {
	s, c := pushHub(t, nil)
	files, sources := pushFiles(t)
	first, err := c.Push(t.Context(), model(t, "me/mine"), sources, PushOptions{Message: "First"})
	require.NoError(t, err)

	before := len(s.Requests())
	again, err := c.Push(t.Context(), model(t, "me/mine"), sources, PushOptions{Message: "Again"})
	require.NoError(t, err)
	require.Equal(t, Pushed{Commit: first.Commit, Page: first.Page, Kept: len(files)}, *again)
	for _, r := range s.Requests()[before:] {
		require.True(t, strings.HasPrefix(r, "hub GET "), r)
	}

	files["README.md"] = []byte("changed\n")
	for i := range sources {
		if sources[i].Path == "README.md" {
			sources[i].Data = files["README.md"]
		}
	}
	before = len(s.Requests())
	third, err := c.Push(t.Context(), model(t, "me/mine"), sources, PushOptions{Message: "Third"})
	require.NoError(t, err)
	require.Equal(t, 1, third.Sent)
	require.NotEqual(t, first.Commit, third.Commit)
	requireHeld(t, s, "me/mine", files)
	for _, r := range s.Requests()[before:] {
		require.False(t, strings.HasPrefix(r, "store"), r)
	}
}

// A push that breaks after some large files does not send those again.
func TestPushResumes(t *testing.T) {
	s, c := pushHub(t, func(c *Config) { c.Attempts = 2 })
	files, sources := pushFiles(t)
	var broken atomic.Bool
	broken.Store(true)
	s.SetFault(func(host string, w http.ResponseWriter, r *http.Request) bool {
		if broken.Load() && strings.HasSuffix(r.URL.Path, "/3") && host == "store" { // the third part of model.safetensors
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	_, err := c.Push(t.Context(), model(t, "me/mine"), sources, PushOptions{Message: "x"})
	require.ErrorContains(t, err, "model.safetensors: part 3 of 4: ")
	require.ErrorContains(t, err, "run the same command again to resume")
	got, _ := s.Files("models", "me/mine")
	require.Len(t, got, 1, "the branch is as it was")

	broken.Store(false)
	stored := 0
	sent := map[string]bool{}
	for p, b := range files {
		if hubtest.IsLFS(p) && s.Stored(hubtest.Hash(p, b)) {
			stored++
			sent[hubtest.Hash(p, b)] = true
		}
	}
	before := len(s.Requests())
	_, err = c.Push(t.Context(), model(t, "me/mine"), sources, PushOptions{Message: "x"})
	require.NoError(t, err)
	requireHeld(t, s, "me/mine", files)
	for _, r := range s.Requests()[before:] {
		for hash := range sent {
			require.False(t, strings.HasPrefix(r, "store") && strings.Contains(r, hash), "sent again (%d were stored): %s", stored, r)
		}
	}
}

// Every request of a push may fail once, in each of several ways: the push
// still ends well, with each file whole.
func TestPushRetries(t *testing.T) {
	for name, fail := range map[string]func(w http.ResponseWriter, r *http.Request){
		"busy": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "0")
			http.Error(w, "busy", http.StatusTooManyRequests)
		},
		"cut": func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				conn.Close()
			}
		},
		"half an answer": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.Write([]byte(`{"files": [`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, c := pushHub(t, nil)
			files, sources := pushFiles(t)
			var mu sync.Mutex
			failed := map[string]bool{}
			s.SetFault(func(host string, w http.ResponseWriter, r *http.Request) bool {
				if host == "store" && name == "half an answer" {
					return false // the store's answers have no body
				}
				if strings.HasSuffix(r.URL.Path, "/complete") && name == "half an answer" {
					return false // nobody reads it
				}
				mu.Lock()
				defer mu.Unlock()
				key := host + r.Method + r.URL.Path
				if failed[key] || r.Method == http.MethodGet {
					return false
				}
				failed[key] = true
				fail(w, r)
				return true
			})
			m := meter.New(0)
			_, err := c.Push(t.Context(), model(t, "me/mine"), sources, PushOptions{Message: "x", Parallel: 2, Meter: m})
			require.NoError(t, err)
			requireHeld(t, s, "me/mine", files)
			require.EqualValues(t, 350_000+200_000+50_000+5000+len(files["README.md"])+3, m.Read().Done, "what is sent twice counts once")
		})
	}
}

// The commit is made, and its answer lost: the push does not fail, and does not
// commit twice.
func TestPushLostAnswer(t *testing.T) {
	s, c := pushHub(t, nil)
	files, sources := pushFiles(t)
	var commits atomic.Int64
	s.SetFault(func(host string, w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/commit/") && commits.Add(1) == 1 {
			// The server does what it is asked to, and the connection ends.
			rec := &swallow{header: http.Header{}}
			s.Handle(rec, r)
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				conn.Close()
			}
			return true
		}
		return false
	})
	done, err := c.Push(t.Context(), model(t, "me/mine"), sources, PushOptions{Message: "x"})
	require.NoError(t, err)
	require.EqualValues(t, 1, commits.Load())
	requireHeld(t, s, "me/mine", files)
	snap, err := c.List(t.Context(), model(t, "me/mine"))
	require.NoError(t, err)
	require.Equal(t, snap.Commit, done.Commit)
}

// swallow is a ResponseWriter that nobody reads.
type swallow struct{ header http.Header }

func (s *swallow) Header() http.Header         { return s.header }
func (s *swallow) WriteHeader(int)             {}
func (s *swallow) Write(b []byte) (int, error) { return len(b), nil }

// An address that has expired is asked for again.
func TestPushExpiredAddress(t *testing.T) {
	s, c := pushHub(t, nil)
	files, sources := pushFiles(t)
	var refusals atomic.Int64
	s.SetFault(func(host string, w http.ResponseWriter, r *http.Request) bool {
		if host == "store" && strings.HasSuffix(r.URL.Path, "/2") && refusals.Add(1) == 1 {
			http.Error(w, "Request has expired", http.StatusForbidden)
			return true
		}
		return false
	})
	m := meter.New(0)
	_, err := c.Push(t.Context(), model(t, "me/mine"), sources, PushOptions{Message: "x", Meter: m})
	require.NoError(t, err)
	requireHeld(t, s, "me/mine", files)
	require.EqualValues(t, 350_000+200_000+50_000+5000+len(files["README.md"])+3, m.Read().Done)
}

func TestPushRefused(t *testing.T) {
	_, sources := pushFiles(t)
	push := func(c *Client, repo string, list []Source) error {
		_, err := c.Push(t.Context(), model(t, repo), list, PushOptions{Message: "x"})
		return err
	}
	for _, x := range []struct {
		name    string
		change  func(*Config)
		repo    string
		sources []Source
		want    string
	}{
		{"no token", func(c *Config) { c.Token = "" }, "me/mine", sources, "needs a token with write access"},
		{"wrong token", func(c *Config) { c.Token = "hf_wrong" }, "me/mine", sources, "the hub does not accept the token: check HF_TOKEN"},
		{"token that only reads", func(c *Config) { c.Token = "hf_read" }, "me/mine", sources, "the token may not write there"},
		{"offline", func(c *Config) { c.Offline = true }, "me/mine", sources, "HF_HUB_OFFLINE is set"},
		{"no organization", nil, "mine", sources, "write ORG/NAME"},
		{"a commit", nil, "me/mine@" + strings.Repeat("a", 40), sources, "names a commit"},
		{"a branch that is not there", nil, "me/mine@other", sources, "it has no branch \"other\""},
		{"nothing", nil, "me/mine", nil, "there are no files to push"},
		{"two of one name", nil, "me/mine", []Source{{Path: "a"}, {Path: "a"}}, "two files are called a"},
		{"a path outside", nil, "me/mine", []Source{{Path: "../a"}}, "refused"},
		{"a file that is not there", nil, "me/mine", []Source{{Path: "a", Local: "nowhere/a"}}, "reading a: "},
	} {
		t.Run(x.name, func(t *testing.T) {
			s, c := pushHub(t, x.change)
			s.Token = "hf_read"
			err := push(c, x.repo, x.sources)
			require.ErrorContains(t, err, x.want)
			require.NotContains(t, err.Error(), "\n")
			require.NotContains(t, err.Error(), "hf_w", "the token is not shown")
			files, _ := s.Files("models", "me/mine")
			require.Nil(t, files)
		})
	}
}

// Whatever a hub answers, a push ends with an error of one line, sends nothing
// to a place that is not http, and shows no token to another host.
func TestPushHostileAnswers(t *testing.T) {
	sha := hubtest.Hash("model.safetensors", noise(3, 350_000))
	plan := func(actions string) string {
		return fmt.Sprintf(`{"transfer": "multipart", "objects": [{"oid": %q, "size": 350000, "actions": %s}]}`, sha, actions)
	}
	for _, x := range []struct{ name, path, answer, want string }{
		{"not JSON", "/preupload/", "<html>", "not the answer of a hub"},
		{"no files", "/preupload/", `{"files": []}`, "was asked about 1"},
		{"another file", "/preupload/", `{"files": [{"path": "other", "uploadMode": "lfs"}]}`, "does not say how to send model.safetensors"},
		{"unknown mode", "/preupload/", `{"files": [{"path": "model.safetensors", "uploadMode": "\u001b[2Jxet"}]}`, `which this program does not know`},
		{"unknown transfer", "/objects/batch", `{"transfer": "xet", "objects": []}`, `wants the transfer "xet"`},
		{"no object", "/objects/batch", `{"objects": []}`, "does not answer about the file"},
		{"another object", "/objects/batch", `{"objects": [{"oid": "x"}]}`, "does not answer about the file"},
		{"an error", "/objects/batch", fmt.Sprintf(`{"objects": [{"oid": %q, "error": {"code": 413, "message": "too\nlarge"}}]}`, sha), `too\nlarge`},
		{"not http", "/objects/batch", plan(`{"upload": {"href": "file:///etc/passwd"}}`), "not an http address"},
		{"no address", "/objects/batch", plan(`{"upload": {}}`), "not an http address"},
		{"parts of nothing", "/objects/batch", plan(`{"upload": {"href": "http://127.0.0.1:1/", "header": {"chunk_size": "0"}}}`), `parts of "0" bytes`},
		{"parts of -1", "/objects/batch", plan(`{"upload": {"href": "http://127.0.0.1:1/", "header": {"chunk_size": "-1"}}}`), `parts of "-1" bytes`},
		{"too many parts", "/objects/batch", plan(`{"upload": {"href": "http://127.0.0.1:1/", "header": {"chunk_size": "1"}}}`), "350000 parts"},
		{"too few parts", "/objects/batch", plan(`{"upload": {"href": "http://127.0.0.1:1/", "header": {"chunk_size": "100000", "1": "http://127.0.0.1:1/"}}}`), "1 addresses for 4 parts"},
		{"a part twice", "/objects/batch", plan(`{"upload": {"href": "http://127.0.0.1:1/", "header": {"chunk_size": "350000", "1": "http://127.0.0.1:1/", "01": "http://127.0.0.1:1/"}}}`), "the hub's list of parts"},
		{"a part to a file", "/objects/batch", plan(`{"upload": {"href": "http://127.0.0.1:1/", "header": {"chunk_size": "350000", "1": "file:///x"}}}`), "not an http address"},
		{"headers that are no headers", "/objects/batch", plan(`{"upload": {"href": "http://127.0.0.1:1/", "header": {"a\nb": "c"}}}`), "invalid header"},
		{"says that it has it", "/objects/batch", fmt.Sprintf(`{"objects": [{"oid": %q}]}`, sha), "LFS object not found"},
		{"no commit", "/commit/", `{"success": true}`, "names no commit"},
		{"another commit", "/commit/", `{"commitOid": "` + strings.Repeat("a", 40) + `"}`, "reading it back failed"},
	} {
		t.Run(x.name, func(t *testing.T) {
			s, c := pushHub(t, func(c *Config) { c.Attempts = 2 })
			s.SetFault(func(host string, w http.ResponseWriter, r *http.Request) bool {
				if host != "hub" || !strings.Contains(r.URL.Path, x.path) {
					return false
				}
				w.Write([]byte(x.answer))
				return true
			})
			_, err := c.Push(t.Context(), model(t, "me/mine"), []Source{{Path: "model.safetensors", Data: noise(3, 350_000)}}, PushOptions{Message: "x"})
			require.ErrorContains(t, err, x.want)
			require.NotContains(t, err.Error(), "\n")
			require.NotContains(t, err.Error(), "\x1b")
			require.False(t, s.Leaked())
		})
	}
}

// A hub that stores something else than it was sent is found out.
func TestPushWrongHash(t *testing.T) {
	s, c := pushHub(t, nil)
	s.SetFault(func(host string, w http.ResponseWriter, r *http.Request) bool {
		if files, _ := s.Files("models", "me/mine"); strings.Contains(r.URL.Path, "/tree/") && len(files) > 1 {
			json.NewEncoder(w).Encode([]map[string]any{{"type": "file", "path": "a.txt", "size": 1, "oid": strings.Repeat("b", 40)}})
			return true
		}
		return false
	})
	_, err := c.Push(t.Context(), model(t, "me/mine"), []Source{{Path: "a.txt", Data: []byte("a")}}, PushOptions{Message: "x"})
	require.ErrorContains(t, err, "is not what was sent: the hub lists a.txt with 1 bytes and hash bbbb")
}

// Somebody else's commit between listing and commit is not overwritten.
func TestPushConflict(t *testing.T) {
	s, c := pushHub(t, nil)
	_, err := c.Push(t.Context(), model(t, "me/mine"), []Source{{Path: "a.txt", Data: []byte("a")}}, PushOptions{Message: "x"})
	require.NoError(t, err)
	s.SetFault(func(host string, w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/preupload/") {
			s.Add("models", "me/mine", map[string][]byte{"theirs.txt": []byte("b")})
		}
		return false
	})
	_, err = c.Push(t.Context(), model(t, "me/mine"), []Source{{Path: "a.txt", Data: []byte("mine")}}, PushOptions{Message: "x"})
	require.ErrorContains(t, err, "somebody changed the repository meanwhile")
	requireHeld(t, s, "me/mine", map[string][]byte{"theirs.txt": []byte("b")})
}

func TestPushIgnored(t *testing.T) {
	s, c := pushHub(t, nil)
	s.Ignored = ".tmp"
	var notes []string
	done, err := c.Push(t.Context(), model(t, "me/mine"), []Source{{Path: "a.txt", Data: []byte("a")}, {Path: "b.tmp", Data: []byte("b")}},
		PushOptions{Message: "x", Note: func(s string) { notes = append(notes, s) }})
	require.NoError(t, err)
	require.Equal(t, 1, done.Sent)
	require.Equal(t, []string{"the repository's .gitignore leaves out b.tmp"}, notes)
}

// A file that changes after it was hashed is not sent.
func TestPushChangedFile(t *testing.T) {
	s, c := pushHub(t, nil)
	path := filepath.Join(t.TempDir(), "a.safetensors")
	require.NoError(t, os.WriteFile(path, noise(1, 1000), 0o644))
	s.SetFault(func(host string, w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/preupload/") {
			os.WriteFile(path, noise(2, 1000), 0o644)
			os.Chtimes(path, time.Now(), time.Now().Add(time.Hour))
		}
		return false
	})
	_, err := c.Push(t.Context(), model(t, "me/mine"), []Source{{Path: "a.safetensors", Local: path}}, PushOptions{Message: "x"})
	require.ErrorContains(t, err, "changed while it was being pushed")
}

// A store that takes nothing is given up.
func TestPushStalls(t *testing.T) {
	s, c := pushHub(t, nil)
	c.Stall = 300 * time.Millisecond // of bodies; answers may take as long as in other tests
	s.PartSize = 0
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	s.SetFault(func(host string, w http.ResponseWriter, r *http.Request) bool {
		if host == "store" {
			select { // the body is not read
			case <-done:
			case <-time.After(20 * time.Second):
			}
			return true
		}
		return false
	})
	_, err := c.Push(t.Context(), model(t, "me/mine"), []Source{{Path: "a.safetensors", Data: noise(1, 32<<20)}}, PushOptions{Message: "x"})
	require.ErrorContains(t, err, "the server stalled")
}
