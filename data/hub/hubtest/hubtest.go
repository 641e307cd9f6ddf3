// Package hubtest is a hub for tests: a local server that speaks the part of the
// public hub's protocol that package hub uses for downloads and pushes, and fails
// on demand.
package hubtest

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Server is a hub and the store on a different host that it redirects to for files
// in large file storage.
type Server struct {
	URL   string // of the hub
	Store string // address of the store

	Token    string // if set, the hub wants it
	PageSize int    // of listings; default 1000
	NoTree   bool   // like a mirror that lacks the tree call
	Writer   string // if set, what changes the hub wants this token
	PartSize int    // larger files of large file storage are sent in parts of so many bytes; 0 for never
	Ignored  string // end of the paths that a push leaves out

	mu    sync.Mutex
	fault Fault
	repos map[string]*repo // by kind and name: "datasets/org/name"
	log   []string
	leak  bool

	uploads uploads
}

type repo struct {
	commit  string
	files   map[string][]byte
	private bool
}

// Fault may answer a request itself (and return true) or change w. host is "hub" or "store".
type Fault func(host string, w http.ResponseWriter, r *http.Request) bool

// SetFault calls f before every answer from now on.
func (s *Server) SetFault(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// New starts a server that ends with the test.
func New(t testing.TB) *Server {
	s := &Server{PageSize: 1000, repos: map[string]*repo{}, uploads: uploads{map[string][]byte{}, map[string][]byte{}}}
	hub := httptest.NewServer(s.host("hub", s.Handle))
	store := httptest.NewServer(s.host("store", s.serveStore))
	t.Cleanup(hub.Close)
	t.Cleanup(store.Close)
	s.URL, s.Store = hub.URL, store.URL
	return s
}

// Add publishes files under kind ("datasets" or "models") and name, and gives
// the commit. Names that end in .parquet, .bin, .safetensors or .gguf are in large
// file storage.
func (s *Server) Add(kind, name string, files map[string][]byte) string {
	h := sha1.New()
	fmt.Fprint(h, kind, name)
	for _, p := range sortedPaths(files) {
		fmt.Fprint(h, p, len(files[p]))
		h.Write(files[p])
	}
	commit := hex.EncodeToString(h.Sum(nil))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repos[kind+"/"+name] = &repo{commit: commit, files: files}
	return commit
}

func sortedPaths(files map[string][]byte) []string { return slices.Sorted(maps.Keys(files)) }

// Requests lists the requests so far: "hub GET /path" or "store GET /path range".
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log)
}

// Leaked says whether the store was ever shown a token.
func (s *Server) Leaked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leak
}

func (s *Server) host(name string, serve http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		line := name + " " + r.Method + " " + r.URL.Path
		if g := r.Header.Get("Range"); g != "" {
			line += " " + g
		}
		s.log = append(s.log, line)
		if name != "hub" && r.Header.Get("Authorization") != "" {
			s.leak = true
		}
		fault := s.fault
		s.mu.Unlock()
		if fault != nil && fault(name, w, r) {
			return
		}
		serve(w, r)
	})
}

// Handle answers a request to the hub as it would without a fault.
func (s *Server) Handle(w http.ResponseWriter, r *http.Request) {
	switch {
	case s.writes(w, r):
	case s.Token != "" && r.Header.Get("Authorization") != "Bearer "+s.Token && !s.isWriter(r):
		w.Header().Set("X-Error-Code", "GatedRepo")
		w.Header().Set("X-Error-Message", "Access to this dataset is restricted.")
		http.Error(w, "no", http.StatusUnauthorized)
	default:
		s.serveHub(w, r)
	}
}

func (s *Server) isWriter(r *http.Request) bool {
	return s.Writer != "" && r.Header.Get("Authorization") == "Bearer "+s.Writer
}

// IsLFS says whether the test hub keeps path in its store.
func IsLFS(path string) bool {
	return strings.HasSuffix(path, ".parquet") || strings.HasSuffix(path, ".bin") || strings.HasSuffix(path, ".safetensors") || strings.HasSuffix(path, ".gguf")
}

// Hash is the hub's hash of a file's content.
func Hash(path string, b []byte) string {
	if IsLFS(path) {
		h := sha256.Sum256(b)
		return hex.EncodeToString(h[:])
	}
	return gitHash(b)
}

func gitHash(b []byte) string {
	h := sha1.New()
	fmt.Fprintf(h, "blob %d\x00", len(b))
	h.Write(b)
	return hex.EncodeToString(h.Sum(nil))
}

// find splits "/datasets/org/name/resolve/..." and its like at word.
func (s *Server) find(path, word string) (r *repo, rest string) {
	head, rest, ok := strings.Cut(path, "/"+word+"/")
	if !ok {
		return nil, ""
	}
	name := strings.TrimPrefix(head, "/")
	if !strings.HasPrefix(name, "datasets/") && !strings.HasPrefix(name, "models/") {
		name = "models/" + name
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.repos[name], rest
}

func (s *Server) serveHub(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	missing := func(code string) {
		w.Header().Set("X-Error-Code", code)
		http.Error(w, "not found", http.StatusNotFound)
	}
	if api, ok := strings.CutPrefix(path, "/api"); ok {
		if repo, rev := s.find(api, "revision"); repo != nil {
			rev, _ = url.PathUnescape(rev)
			if rev != "main" && rev != repo.commit {
				missing("RevisionNotFound")
				return
			}
			type sibling struct {
				Name string `json:"rfilename"`
			}
			name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(api, "/models/"), "/datasets/"), "/revision/")
			out := struct {
				ID       string    `json:"id"`
				SHA      string    `json:"sha"`
				Siblings []sibling `json:"siblings"`
			}{ID: name, SHA: repo.commit}
			for p := range repo.files {
				out.Siblings = append(out.Siblings, sibling{p})
			}
			json.NewEncoder(w).Encode(out)
			return
		}
		if repo, _ := s.find(api, "tree"); repo != nil && !s.NoTree {
			s.serveTree(w, r, repo)
			return
		}
		missing("RepoNotFound")
		return
	}
	repo, rest := s.find(path, "resolve")
	if repo == nil {
		missing("RepoNotFound")
		return
	}
	rev, file, _ := strings.Cut(rest, "/")
	file, _ = url.PathUnescape(file)
	content, ok := repo.files[file]
	if !ok || rev != "main" && rev != repo.commit {
		missing("EntryNotFound")
		return
	}
	w.Header().Set("X-Repo-Commit", repo.commit)
	if IsLFS(file) {
		w.Header().Set("X-Linked-Etag", `"`+Hash(file, content)+`"`)
		w.Header().Set("X-Linked-Size", strconv.Itoa(len(content)))
		w.Header().Set("Location", s.Store+"/"+Hash(file, content)+"?signature=secret")
		w.WriteHeader(http.StatusFound)
		return
	}
	w.Header().Set("ETag", `"`+Hash(file, content)+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

func (s *Server) serveTree(w http.ResponseWriter, r *http.Request, repo *repo) {
	type lfs struct {
		OID     string `json:"oid"`
		Size    int    `json:"size"`
		Pointer int    `json:"pointerSize"` // of the file that git holds instead
	}
	type entry struct {
		Type string `json:"type"`
		OID  string `json:"oid"`
		Size int    `json:"size"`
		Path string `json:"path"`
		LFS  *lfs   `json:"lfs,omitempty"`
	}
	var all []entry
	for p, b := range repo.files {
		e := entry{"file", gitHash(b), len(b), p, nil}
		if IsLFS(p) {
			pointer := fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", Hash(p, b), len(b))
			e.LFS = &lfs{Hash(p, b), len(b), len(pointer)}
		}
		all = append(all, e)
		if dir, _, ok := strings.Cut(p, "/"); ok {
			all = append(all, entry{"directory", gitHash(nil), 0, dir, nil})
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.Path, b.Path) })
	from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
	from = min(from, len(all))
	to := min(from+s.PageSize, len(all))
	if to < len(all) {
		w.Header().Set("Link", fmt.Sprintf(`<%s%s?recursive=true&cursor=%d>; rel="next"`, s.URL, r.URL.Path, to))
	}
	json.NewEncoder(w).Encode(all[from:to])
}

func (s *Server) serveStore(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		s.serveUpload(w, r)
		return
	}
	hash := strings.TrimPrefix(r.URL.Path, "/")
	s.mu.Lock()
	var content []byte
	found := false
	for _, repo := range s.repos {
		for p, b := range repo.files {
			if IsLFS(p) && Hash(p, b) == hash {
				content, found = b, true
			}
		}
	}
	s.mu.Unlock()
	if !found || r.URL.Query().Get("signature") != "secret" {
		http.Error(w, "no", http.StatusForbidden)
		return
	}
	w.Header().Set("ETag", `"some-store-etag"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}
