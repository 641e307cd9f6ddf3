package serve

import (
	"embed"
	"io/fs"
	"net/http"
	"strings"

	"bitnet/bitnet/page"
)

//go:embed page
var own embed.FS

// policy allows the page its own files and this server, and nothing else: no inline
// script or style, no other origin, no frame around it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// pageFiles are the files of the page, by the paths that answer with them.
var pageFiles = readPage()

func readPage() map[string]page.File {
	dir, err := fs.Sub(own, "page")
	if err != nil {
		panic(err) // the page is part of the program
	}
	files, err := page.Files(dir)
	if err != nil {
		panic(err)
	}
	all := map[string]page.File{}
	for name, f := range files {
		path := "/page/" + name
		if name == "index.html" {
			path = "/{$}"
		}
		all[path] = f
	}
	return all
}

// open says whether a request needs no key: the page, which asks for the key
// itself, and whether the server is there.
func open(r *http.Request) bool {
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	return read && (r.URL.Path == "/" || r.URL.Path == "/health" || strings.HasPrefix(r.URL.Path, "/page/"))
}
