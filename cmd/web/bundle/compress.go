package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/andybalholm/brotli"
)

// window is the base 2 logarithm of brotli's window, the largest that browsers take.
const window = 24

// compress writes a brotli and a gzip copy next to every file that becomes
// smaller by it.
func compress(dir string, fast bool) error {
	brotliLevel, gzipLevel := brotli.BestCompression, gzip.BestCompression
	if fast {
		brotliLevel, gzipLevel = 4, gzip.BestSpeed
	}
	paths, err := filesOf(dir)
	if err != nil {
		return err
	}
	for _, path := range paths {
		body, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("reading a file to compress: %w", err)
		}
		for _, form := range []struct {
			ext string
			to  func(io.Writer) (io.WriteCloser, error)
		}{
			{".br", func(w io.Writer) (io.WriteCloser, error) {
				return brotli.NewWriterOptions(w, brotli.WriterOptions{Quality: brotliLevel, LGWin: window}), nil
			}},
			{".gz", func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriterLevel(w, gzipLevel) }},
		} {
			small, err := packed(body, form.to)
			if err != nil {
				return fmt.Errorf("compressing %s: %w", filepath.Base(path), err)
			}
			if len(small) >= len(body) {
				continue
			}
			if err := os.WriteFile(path+form.ext, small, 0o644); err != nil {
				return fmt.Errorf("writing a compressed file: %w", err)
			}
		}
	}
	return nil
}

func packed(body []byte, to func(io.Writer) (io.WriteCloser, error)) ([]byte, error) {
	var b bytes.Buffer
	w, err := to(&b)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// filesOf are the files of a folder that are no compressed copies.
func filesOf(dir string) ([]string, error) {
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !slices.Contains([]string{".br", ".gz"}, filepath.Ext(path)) {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing the files of the page: %w", err)
	}
	return all, nil
}

// report prints how large what a visitor loads is: as it is, and compressed.
func report(w io.Writer, dir string) error {
	paths, err := filesOf(dir)
	if err != nil {
		return err
	}
	var total [3]int64
	fmt.Fprintf(w, "%-28s %10s %10s %10s\n", "KiB", "as it is", "gzip", "brotli")
	row := func(name string, sizes [3]int64) {
		fmt.Fprintf(w, "%-28s", name)
		for _, n := range sizes {
			fmt.Fprintf(w, " %10.1f", float64(n)/1024)
		}
		fmt.Fprintln(w)
	}
	for _, path := range paths {
		var sizes [3]int64
		for i, ext := range []string{"", ".gz", ".br"} {
			info, err := os.Stat(path + ext)
			switch {
			case err == nil:
				sizes[i] = info.Size()
			case i > 0:
				sizes[i] = sizes[0] // it would not become smaller
			default:
				return fmt.Errorf("reading the sizes: %w", err)
			}
			total[i] += sizes[i]
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return fmt.Errorf("naming a file: %w", err)
		}
		row(filepath.ToSlash(name), sizes)
	}
	row("together", total)
	fmt.Fprintf(w, "built %s; show it with bitnet web\n", dir)
	return nil
}
