// Package page holds what the pages of bitnet share: modules for charts, numbers
// and themes, a style sheet, and a server that guards them. It knows neither runs
// nor models.
package page

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed shared
var shared embed.FS

// types are the content types of the files of a page. The system's own table is
// not asked: on some machines it has none, or a wrong one.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".json": "application/json",
	".svg":  "image/svg+xml",
	".wasm": "application/wasm",
}

// Type is the content type of a file by its name, "application/octet-stream" for
// an unknown one.
func Type(name string) string {
	if t, ok := types[path.Ext(name)]; ok {
		return t
	}
	return "application/octet-stream"
}

// File is one file of a page.
type File struct {
	Kind string // content type
	Body []byte
	etag string
}

// Shared are the files that the pages have in common: scripts, palette.css, base.css, icon.svg.
func Shared() fs.FS {
	files, err := fs.Sub(shared, "shared")
	if err != nil {
		panic(err) // they are part of the program
	}
	return files
}

// Files are the files of a page by their names: the shared ones and its own. A
// name that both have is an error, because one of the files would be lost.
func Files(own fs.FS) (map[string]File, error) {
	all := map[string]File{}
	for _, from := range []fs.FS{Shared(), own} {
		entries, err := fs.ReadDir(from, ".")
		if err != nil {
			return nil, fmt.Errorf("reading the files of a page: %w", err)
		}
		for _, e := range entries {
			if _, twice := all[e.Name()]; twice {
				return nil, fmt.Errorf("the page has a second %s: rename one", e.Name())
			}
			body, err := fs.ReadFile(from, e.Name())
			if err != nil {
				return nil, fmt.Errorf("reading a file of a page: %w", err)
			}
			sum := sha256.Sum256(body)
			all[e.Name()] = File{Type(e.Name()), body, `"` + hex.EncodeToString(sum[:8]) + `"`}
		}
	}
	return all, nil
}

// ServeHTTP answers with the file, or that the browser's copy is still right.
func (f File) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.Kind)
	h.Set("ETag", f.etag)
	h.Set("Cache-Control", "no-cache") // another version of the program has another page
	if strings.Contains(r.Header.Get("If-None-Match"), f.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(f.Body)
}
