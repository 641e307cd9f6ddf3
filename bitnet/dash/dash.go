// Package dash serves a page that shows runs while they train. It only reads
// run directories, and answers nobody but the machine's own browser.
package dash

import (
	"embed"
	"io/fs"
	"net/http"

	"bitnet/bitnet/page"
)

//go:embed page
var own embed.FS

// policy allows the page its own files and nothing else: no inline script or
// style, no other origin, no frame around it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

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

func guard(next http.Handler, names []string) http.Handler {
	return page.Rules{Policy: policy, Names: names, Command: "bitnet dash"}.Guard(next)
}

func files() map[string]page.File {
	dir, err := fs.Sub(own, "page")
	if err != nil {
		panic(err) // the page is part of the program
	}
	all, err := page.Files(dir)
	if err != nil {
		panic(err)
	}
	return all
}
