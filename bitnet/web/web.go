// Package web serves the browser version of bitnet, a folder that `make web`
// builds. It only reads that folder.
package web

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"bitnet/bitnet/page"
)

// Program is the name of the program in the folder.
const Program = "bitnet.wasm"

// policy lets the page load its own files, compile its own WebAssembly and start
// its own worker, and nothing else: no inline script or style, no other origin, no
// frame around it.
const policy = common + "; style-src 'self'; img-src 'self'; worker-src 'self'; require-trusted-types-for 'script'; trusted-types bitnet"

// common is what the policies of the page and of the worker share. A worker obeys
// that of its own script, and loads further scripts by their names.
const common = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// places are where the folder is looked for if none is named: next to the
// program, and in a clone of the repository.
func places() []string {
	all := []string{filepath.Join("build", "web")}
	if exe, err := os.Executable(); err == nil {
		all = append([]string{filepath.Join(filepath.Dir(exe), "web")}, all...)
	}
	return all
}

// Find gives the folder of the browser version: dir, or if that is empty the first
// of the usual places that has it. The error says how to build it.
func Find(dir string) (string, error) {
	if dir != "" {
		if err := complete(dir); err != nil {
			return "", fmt.Errorf("%s is not a folder that make web built: %w", dir, err)
		}
		return dir, nil
	}
	for _, p := range places() {
		if complete(p) == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("the browser version is not built (looked in %s): run make web in a clone of the repository, or name its folder with --dir", strings.Join(places(), ", "))
}

// complete says what is missing in a folder.
func complete(dir string) error {
	for _, name := range []string{"index.html", Program} {
		info, err := os.Stat(filepath.Join(dir, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("it has no %s", name)
		case err != nil:
			return fmt.Errorf("reading %s: %w", name, err)
		case !info.Mode().IsRegular():
			return fmt.Errorf("%s is not a file", name)
		}
	}
	return nil
}

// Handler serves the folder. names are host names by which the server may be
// called, in addition to those of loopback.
func Handler(dir string, names ...string) (http.Handler, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the browser version: %w", err)
	}
	return page.Rules{Policy: policy, Names: names, Command: "bitnet web"}.Guard(folder{root}), nil
}

// folder answers with the files below it. Symbolic links that leave it are not
// followed.
type folder struct{ root *os.Root }

func (f folder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	if name == "" {
		name = "index.html"
	}
	if !fs.ValidPath(name) || path.Ext(name) == ".br" || path.Ext(name) == ".gz" {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", page.Type(name))
	if path.Ext(name) != ".html" {
		h.Set("Content-Security-Policy", common)
	}
	h.Set("Cache-Control", "no-cache") // a build has the same names as the one before
	h.Add("Vary", "Accept-Encoding")
	for _, e := range []struct{ name, ext string }{{"br", ".br"}, {"gzip", ".gz"}} {
		if accepts(r.Header.Get("Accept-Encoding"), e.name) && f.send(w, r, name+e.ext, e.name) {
			return
		}
	}
	if !f.send(w, r, name, "") {
		h.Del("Cache-Control")
		http.NotFound(w, r)
	}
}

// accepts says whether a list such as "gzip;q=0.8, br" has an encoding.
func accepts(list, encoding string) bool {
	for _, part := range strings.Split(list, ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		if !strings.EqualFold(strings.TrimSpace(name), encoding) {
			continue
		}
		weight, given := strings.CutPrefix(strings.ReplaceAll(q, " ", ""), "q=")
		v, err := strconv.ParseFloat(weight, 64)
		return !given || err == nil && v > 0
	}
	return false
}

// send answers with a file, encoded or as it is; false if there is none, and then
// nothing was sent.
func (f folder) send(w http.ResponseWriter, r *http.Request, name, encoding string) bool {
	file, err := f.root.Open(filepath.FromSlash(name))
	if err != nil {
		return false
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	h := w.Header()
	h.Set("ETag", fmt.Sprintf("\"%x-%x-%s\"", info.ModTime().UnixNano(), info.Size(), encoding))
	if encoding == "" {
		http.ServeContent(w, r, name, info.ModTime(), file)
		return true
	}
	h.Set("Content-Encoding", encoding)
	if strings.Contains(r.Header.Get("If-None-Match"), h.Get("ETag")) {
		w.WriteHeader(http.StatusNotModified)
		return true
	}
	h.Set("Content-Length", strconv.FormatInt(info.Size(), 10))
	if r.Method != http.MethodHead {
		_, _ = io.Copy(w, file)
	}
	return true
}
