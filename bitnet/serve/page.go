package serve

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"strings"
)

//go:embed page
var page embed.FS

// policy allows the page its own files and this server, and nothing else: no inline
// script or style, no other origin, no frame around it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

var kinds = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// pageFile is one file of the page.
type pageFile struct {
	kind, etag string
	body       []byte
}

// pageFiles are the files of the page, by the paths that answer with them.
var pageFiles = readPage()

func readPage() map[string]pageFile {
	all := map[string]pageFile{}
	entries, err := page.ReadDir("page")
	if err != nil {
		panic(err) // the page is part of the program
	}
	for _, e := range entries {
		body, err := page.ReadFile("page/" + e.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(body)
		f := pageFile{kinds[path.Ext(e.Name())], `"` + hex.EncodeToString(sum[:8]) + `"`, body}
		if e.Name() == "index.html" {
			all["/{$}"] = f
			continue
		}
		all["/page/"+e.Name()] = f
	}
	return all
}

func (f pageFile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("ETag", f.etag)
	h.Set("Cache-Control", "no-cache") // another version of the program has another page
	if strings.Contains(r.Header.Get("If-None-Match"), f.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(f.body)
}

// open says whether a request needs no key: the page, which asks for the key
// itself, and whether the server is there.
func open(r *http.Request) bool {
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	return read && (r.URL.Path == "/" || r.URL.Path == "/health" || strings.HasPrefix(r.URL.Path, "/page/"))
}
