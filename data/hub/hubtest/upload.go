package hubtest

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// uploads is what a hub remembers of pushes.
type uploads struct {
	objects map[string][]byte // large files by SHA-256, whole
	parts   map[string][]byte // of large files, by "sha256/number"
}

// Files are the files of a repository, and whether it is private; nil if there is
// no such repository.
func (s *Server) Files(kind, name string) (files map[string][]byte, private bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.repos[kind+"/"+name]
	if r == nil {
		return nil, false
	}
	return maps.Clone(r.files), r.private
}

// Stored says whether the store holds a large file, by its SHA-256.
func (s *Server) Stored(sha string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.uploads.objects[sha] != nil
}

// answer writes JSON.
func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, code int, why string) {
	answer(w, code, map[string]string{"error": why})
}

// writes answers requests that change something; false for any other.
func (s *Server) writes(w http.ResponseWriter, r *http.Request) bool {
	path := r.URL.Path
	create := path == "/api/repos/create"
	batch, isBatch := strings.CutSuffix(path, ".git/info/lfs/objects/batch")
	complete := path == "/complete"
	pre, _ := s.find(strings.TrimPrefix(path, "/api"), "preupload")
	commit, _ := s.find(strings.TrimPrefix(path, "/api"), "commit")
	verify, yaml := path == "/verify", path == "/api/validate-yaml"
	if r.Method != http.MethodPost || !create && !isBatch && !complete && !verify && !yaml && pre == nil && commit == nil {
		return false
	}
	// The address of a completion is signed: clients of others send no token there.
	signed := complete && r.URL.Query().Get("signature") == "secret"
	if s.Writer != "" && !signed && r.Header.Get("Authorization") != "Bearer "+s.Writer {
		if r.Header.Get("Authorization") == "" || r.Header.Get("Authorization") != "Bearer "+s.Token {
			refuse(w, http.StatusUnauthorized, "Invalid username or password.")
		} else {
			refuse(w, http.StatusForbidden, "You don't have the rights to create a model under this namespace")
		}
		return true
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case create:
		s.create(w, body)
	case yaml: // of a README.md; Hugging Face's client for Python asks
		answer(w, http.StatusOK, map[string]any{"errors": []string{}, "warnings": []string{}})
	case isBatch:
		s.batch(w, r, batch, body)
	case complete:
		s.complete(w, body)
	case verify:
		var v struct {
			OID  string
			Size int
		}
		if json.Unmarshal(body, &v) != nil || s.uploads.objects[v.OID] == nil || len(s.uploads.objects[v.OID]) != v.Size {
			refuse(w, http.StatusNotFound, "the object is not there")
		}
	case pre != nil:
		s.preupload(w, body)
	default:
		s.commit(w, r, commit, body)
	}
	return true
}

func (s *Server) create(w http.ResponseWriter, body []byte) {
	var ask struct {
		Type, Name, Organization, Visibility string
		Private                              bool
	}
	if json.Unmarshal(body, &ask) != nil || ask.Name == "" {
		refuse(w, http.StatusBadRequest, "Invalid input")
		return
	}
	if ask.Type == "" {
		ask.Type = "model"
	}
	if ask.Organization == "" {
		ask.Organization = "me"
	}
	name := ask.Organization + "/" + ask.Name
	key := ask.Type + "s/" + name
	told := map[string]any{"url": s.URL + "/" + strings.TrimPrefix(key, "models/"), "name": name, "id": hex.EncodeToString([]byte(name))}
	if s.repos[key] != nil {
		told["error"] = "You already created this " + ask.Type + " repo"
		answer(w, http.StatusConflict, told)
		return
	}
	r := &repo{files: map[string][]byte{".gitattributes": []byte("*.safetensors filter=lfs diff=lfs merge=lfs -text\n")}, private: ask.Private || ask.Visibility == "private"}
	r.commit = commitOf(key, r.files)
	s.repos[key] = r
	answer(w, http.StatusOK, told)
}

// commitOf is a commit's id: of the parent and what is in it.
func commitOf(parent string, files map[string][]byte) string {
	h := sha1.New()
	fmt.Fprint(h, parent)
	for _, p := range sortedPaths(files) {
		fmt.Fprint(h, p, len(files[p]))
		h.Write(files[p])
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (s *Server) preupload(w http.ResponseWriter, body []byte) {
	type file struct {
		Path       string  `json:"path"`
		UploadMode string  `json:"uploadMode"`
		Ignore     bool    `json:"shouldIgnore"`
		OID        *string `json:"oid"`
	}
	var ask struct {
		Files []struct {
			Path   string
			Size   int64
			Sample []byte
		}
	}
	if err := json.Unmarshal(body, &ask); err != nil {
		refuse(w, http.StatusBadRequest, "Invalid input: "+err.Error())
		return
	}
	out := struct {
		Files []file `json:"files"`
	}{Files: []file{}}
	for _, f := range ask.Files {
		mode := "regular"
		if IsLFS(f.Path) {
			mode = "lfs"
		}
		out.Files = append(out.Files, file{f.Path, mode, s.Ignored != "" && strings.HasSuffix(f.Path, s.Ignored), nil})
	}
	answer(w, http.StatusOK, out)
}

// batch plans large files: nothing to do for those that are there, one address
// up to PartSize, and else parts.
func (s *Server) batch(w http.ResponseWriter, r *http.Request, name string, body []byte) {
	var ask struct {
		Operation string
		Transfers []string
		Objects   []struct {
			OID  string
			Size int
		}
	}
	if json.Unmarshal(body, &ask) != nil || ask.Operation != "upload" || r.Header.Get("Content-Type") != "application/vnd.git-lfs+json" {
		refuse(w, http.StatusBadRequest, "Invalid batch request")
		return
	}
	name = strings.TrimPrefix(name, "/")
	if s.repos["models/"+name] == nil && s.repos[name] == nil {
		refuse(w, http.StatusNotFound, "Repository not found")
		return
	}
	type action struct {
		Href   string            `json:"href"`
		Header map[string]string `json:"header,omitempty"`
	}
	type object struct {
		OID     string            `json:"oid"`
		Size    int               `json:"size"`
		Actions map[string]action `json:"actions,omitempty"`
	}
	transfer := "basic"
	out := []object{}
	for _, o := range ask.Objects {
		plan := object{OID: o.OID, Size: o.Size}
		switch {
		case s.uploads.objects[o.OID] != nil:
		case s.PartSize > 0 && o.Size > s.PartSize:
			transfer = "multipart"
			header := map[string]string{"chunk_size": strconv.Itoa(s.PartSize)}
			for i := range (o.Size + s.PartSize - 1) / s.PartSize {
				header[fmt.Sprintf("%05d", i+1)] = fmt.Sprintf("%s/part/%s/%d?signature=secret", s.Store, o.OID, i+1)
			}
			plan.Actions = map[string]action{"upload": {s.URL + "/complete?signature=secret", header}, "verify": {s.URL + "/verify", nil}}
		default:
			plan.Actions = map[string]action{"upload": {s.Store + "/whole/" + o.OID + "?signature=secret", nil}, "verify": {s.URL + "/verify", nil}}
		}
		out = append(out, plan)
	}
	answer(w, http.StatusOK, map[string]any{"transfer": transfer, "objects": out})
}

// complete puts the parts of a file together, if the store's word on each comes
// back, and they are the file.
func (s *Server) complete(w http.ResponseWriter, body []byte) {
	var ask struct {
		OID   string
		Parts []struct {
			PartNumber int
			ETag       string
		}
	}
	if json.Unmarshal(body, &ask) != nil {
		refuse(w, http.StatusBadRequest, "Invalid completion")
		return
	}
	var whole []byte
	for i, p := range ask.Parts {
		b := s.uploads.parts[fmt.Sprintf("%s/%d", ask.OID, i+1)]
		if p.PartNumber != i+1 || b == nil || p.ETag != partETag(b) {
			refuse(w, http.StatusBadRequest, fmt.Sprintf("part %d is not the one that was sent", i+1))
			return
		}
		whole = append(whole, b...)
	}
	if !s.keep(ask.OID, whole) {
		refuse(w, http.StatusBadRequest, "the content does not match its SHA-256")
	}
}

func partETag(b []byte) string {
	h := sha1.Sum(b)
	return `"` + hex.EncodeToString(h[:8]) + `"`
}

// keep stores a large file, if it has the hash.
func (s *Server) keep(sha string, b []byte) bool {
	if h := sha256.Sum256(b); hex.EncodeToString(h[:]) != sha {
		return false
	}
	if b == nil {
		b = []byte{}
	}
	s.uploads.objects[sha] = b
	return true
}

func base64Or(content, encoding string) ([]byte, error) {
	if encoding == "base64" {
		return base64.StdEncoding.DecodeString(content)
	}
	return []byte(content), nil
}

// serveUpload is the store's side.
func (s *Server) serveUpload(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("signature") != "secret" {
		http.Error(w, "no", http.StatusForbidden)
		return
	}
	b, err := io.ReadAll(r.Body)
	if err != nil || r.ContentLength != int64(len(b)) {
		http.Error(w, "the body is not whole", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sha, ok := strings.CutPrefix(r.URL.Path, "/whole/"); ok {
		if !s.keep(sha, b) {
			http.Error(w, "the checksum differs", http.StatusBadRequest)
		}
		return
	}
	s.uploads.parts[strings.TrimPrefix(r.URL.Path, "/part/")] = b
	w.Header().Set("ETag", partETag(b))
}

// commit changes a repository: all of the request's lines, or nothing.
func (s *Server) commit(w http.ResponseWriter, r *http.Request, to *repo, body []byte) {
	name, rev, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/api/"), "models/"), "/commit/")
	if rev, _ = url.PathUnescape(rev); rev != "main" {
		refuse(w, http.StatusNotFound, "no such branch")
		return
	}
	files := maps.Clone(to.files)
	lines := bufio.NewScanner(bytes.NewReader(body))
	lines.Buffer(nil, 64<<20)
	for n := 0; lines.Scan(); n++ {
		var line struct {
			Key   string
			Value struct {
				Summary, ParentCommit   string
				Path, Content, Encoding string
				Algo, OID               string
				Size                    int
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil || (n == 0) != (line.Key == "header") {
			refuse(w, http.StatusBadRequest, fmt.Sprintf("line %d is not valid", n+1))
			return
		}
		v := line.Value
		switch line.Key {
		case "header":
			if v.Summary == "" {
				refuse(w, http.StatusBadRequest, "a commit needs a summary")
				return
			}
			if v.ParentCommit != "" && v.ParentCommit != to.commit {
				refuse(w, http.StatusPreconditionFailed, "A commit has happened since. Please refresh and try again.")
				return
			}
		case "file":
			content, err := base64Or(v.Content, v.Encoding)
			if err != nil || IsLFS(v.Path) {
				refuse(w, http.StatusBadRequest, v.Path+" is not valid, or belongs into large file storage")
				return
			}
			files[v.Path] = content
		case "lfsFile":
			b := s.uploads.objects[v.OID]
			if b == nil || len(b) != v.Size || v.Algo != "sha256" || !IsLFS(v.Path) {
				refuse(w, http.StatusBadRequest, "LFS object not found: "+v.Path)
				return
			}
			files[v.Path] = b
		case "deletedFile":
			delete(files, v.Path)
		default:
			refuse(w, http.StatusBadRequest, "unknown key "+line.Key)
			return
		}
	}
	to.commit, to.files = commitOf(to.commit, files), files
	answer(w, http.StatusOK, map[string]any{"success": true, "commitOid": to.commit, "commitUrl": s.URL + "/" + name + "/commit/" + to.commit, "hookOutput": ""})
}
