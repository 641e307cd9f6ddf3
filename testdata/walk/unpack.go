package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// unpack unpacks an archive of a release, and gives the program in it.
func unpack(archive, dir string) (program string, err error) {
	each := eachOfTar
	if strings.HasSuffix(archive, ".zip") {
		each = eachOfZip
	}
	err = each(archive, func(name string, mode fs.FileMode, content io.Reader) error {
		if !filepath.IsLocal(name) {
			return errors.New("it has a file outside of its folder")
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode.Perm())
		if err != nil {
			return err
		}
		_, err = io.Copy(f, content)
		if base := filepath.Base(path); base == "bitnet" || base == "bitnet.exe" {
			program = path
		}
		return errors.Join(err, f.Close())
	})
	if err == nil && program == "" {
		err = errors.New("there is no program in it")
	}
	return program, err
}

func eachOfZip(archive string, do func(string, fs.FileMode, io.Reader) error) error {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer z.Close()
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			return err
		}
		if err := errors.Join(do(f.Name, f.Mode(), r), r.Close()); err != nil {
			return err
		}
	}
	return nil
}

func eachOfTar(archive string, do func(string, fs.FileMode, io.Reader) error) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	t := tar.NewReader(z)
	for {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := do(h.Name, h.FileInfo().Mode(), t); err != nil {
			return err
		}
	}
}
