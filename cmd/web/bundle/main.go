// Bundle builds the folder of the browser version: the program as WebAssembly,
// the page, the worker and the shipped model, with compressed copies for servers
// that send those. It runs at the top of the repository, as make web does.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"bitnet/bitnet/page"
	"bitnet/bitnet/web"
	"bitnet/gpu/browser"
)

func main() {
	out := flag.String("o", filepath.Join("build", "web"), "folder to build")
	fast := flag.Bool("fast", false, "compress less, in less time")
	flag.Parse()
	if err := build(*out, *fast); err != nil {
		fmt.Fprintln(os.Stderr, "make web:", err)
		os.Exit(1)
	}
}

// model is the shipped model, in the repository and in the folder.
const model = "tictactoe"

// build builds the folder next to its place, and puts it there when all is well.
func build(out string, fast bool) error {
	if err := replaceable(out); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return fmt.Errorf("making the folder: %w", err)
	}
	dir, err := os.MkdirTemp(filepath.Dir(out), ".web-*")
	if err != nil {
		return fmt.Errorf("making the folder: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return fmt.Errorf("making the folder: %w", err)
	}
	if err := gather(dir); err != nil {
		return err
	}
	if err := compile(filepath.Join(dir, web.Program)); err != nil {
		return err
	}
	if err := compress(dir, fast); err != nil {
		return err
	}
	if err := replace(out, dir); err != nil {
		return err
	}
	return report(os.Stdout, out)
}

// replaceable refuses a folder that something else is in.
func replaceable(out string) error {
	entries, err := os.ReadDir(out)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the folder that is to be replaced: %w", err)
	}
	if _, err := web.Find(out); err != nil {
		return fmt.Errorf("%s has other files, which would be lost: name a different folder with -o", out)
	}
	return nil
}

// gather copies the files that need no compiling.
func gather(dir string) error {
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("asking go for its folder: %w", err)
	}
	from := func(path string) fs.FS { return os.DirFS(filepath.FromSlash(path)) }
	for _, part := range []struct {
		files fs.FS
		to    string
	}{
		{page.Shared(), ""}, {from("cmd/web/page"), ""}, {from("cmd/web/worker"), ""}, {from("testdata/" + model), model},
	} {
		if err := copyFiles(filepath.Join(dir, part.to), part.files); err != nil {
			return err
		}
	}
	lib := filepath.Join(strings.TrimSpace(string(goroot)), "lib", "wasm")
	loader, err := os.ReadFile(filepath.Join(lib, "wasm_exec.js"))
	if err != nil {
		return fmt.Errorf("reading Go's loader of WebAssembly: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "gpu.js"), browser.Script, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "wasm_exec.js"), loader, 0o644)
}

// copyFiles copies the files of a folder, tests left out. A name that is already
// there is an error: one of the two files would be lost.
func copyFiles(dir string, from fs.FS) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	entries, err := fs.ReadDir(from, ".")
	if err != nil {
		return fmt.Errorf("reading what belongs to the page: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		body, err := fs.ReadFile(from, e.Name())
		if err != nil {
			return fmt.Errorf("reading a file of the page: %w", err)
		}
		path := filepath.Join(dir, e.Name())
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("two files are called %s: rename one", e.Name())
		}
		if err := os.WriteFile(path, body, 0o644); err != nil {
			return fmt.Errorf("writing a file of the page: %w", err)
		}
	}
	return nil
}

// compile builds the program for the browser.
func compile(out string) error {
	full, err := filepath.Abs(out)
	if err != nil {
		return fmt.Errorf("naming the program: %w", err)
	}
	c := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", full, "./cmd/web")
	c.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0")
	c.Stdout, c.Stderr = os.Stderr, os.Stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("compiling the program for the browser: %w", err)
	}
	return nil
}

// replace puts a finished folder in its place, and removes the one before.
func replace(out, dir string) error {
	old := dir + ".old"
	if err := os.Rename(out, old); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("replacing %s: %w", out, err)
	}
	if err := os.Rename(dir, out); err != nil {
		return fmt.Errorf("replacing %s: %w", out, err)
	}
	if err := os.RemoveAll(old); err != nil {
		return fmt.Errorf("removing the folder before: %w", err)
	}
	return nil
}
