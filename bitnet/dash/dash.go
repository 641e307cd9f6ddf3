// Package dash serves a page that shows runs while they train. It only reads
// run directories, and answers nobody but the machine's own browser.
package dash

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

var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// Handler serves the page and what it asks for about the runs under runsDir.
// names are host names by which the server may be called, in addition to those
// of loopback.
func Handler(runsDir string, names ...string) http.Handler {
	h := newHub(runsDir)
	mux := http.NewServeMux()
	mux.HandleFunc("/api/events", h.events)
	mux.HandleFunc("/api/series", h.series)
	mux.HandleFunc("/api/ternary", h.ternary)
	for name, f := range files() {
		mux.Handle("/"+name, f)
		if name == "index.html" {
			mux.Handle("/{$}", f)
		}
	}
	return guard(mux, names)
}

// file is one file of the page.
type file struct {
	kind, etag string
	body       []byte
}

func files() map[string]file {
	all := map[string]file{}
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
		all[e.Name()] = file{types[path.Ext(e.Name())], `"` + hex.EncodeToString(sum[:8]) + `"`, body}
	}
	return all
}

func (f file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
