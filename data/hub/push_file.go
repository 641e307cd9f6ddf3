//go:build !js

package hub

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"bitnet/data/ctxio"
	"bitnet/data/plainfile"
	"bitnet/data/printable"
)

// pushFile is a file to push, and what is known of it.
type pushFile struct {
	Source
	size    int64
	changed time.Time // of the local file, when it was read
	sha256  string
	git     string // git's SHA-1 of the blob
	sample  []byte // the first 512 bytes: the hub finds out by them what is text
	large   bool   // for large file storage
	ignored bool   // by the repository's .gitignore
}

// is says whether a hash is the file's: of large file storage, or git's.
func (f *pushFile) is(hash string) bool { return hash == f.sha256 || hash == f.git }

// readSources hashes the files to push, and refuses paths that a hub would not
// give back.
func readSources(ctx context.Context, sources []Source) ([]*pushFile, error) {
	if len(sources) == 0 {
		return nil, errors.New("there are no files to push")
	}
	seen := map[string]bool{}
	var files []*pushFile
	for _, s := range sources {
		if err := checkPath(s.Path); err != nil {
			return nil, err
		}
		if seen[s.Path] {
			return nil, fmt.Errorf("two files are called %s", printable.String(s.Path))
		}
		seen[s.Path] = true
		f := &pushFile{Source: s}
		if err := f.read(ctx); err != nil {
			return nil, fmt.Errorf("reading %s: %w", printable.String(s.Path), err)
		}
		files = append(files, f)
	}
	return files, nil
}

func (f *pushFile) read(ctx context.Context) error {
	content, closeIt, err := f.open()
	if err != nil {
		return err
	}
	defer closeIt()
	git, large := sha1.New(), sha256.New()
	fmt.Fprintf(git, "blob %d\x00", f.size)
	f.sample = make([]byte, min(f.size, 512))
	if _, err := content.ReadAt(f.sample, 0); err != nil && err != io.EOF {
		return err
	}
	n, err := io.Copy(io.MultiWriter(git, large), ctxio.Reader(ctx, io.NewSectionReader(content, 0, f.size)))
	if err != nil {
		return err
	}
	if n != f.size {
		return fmt.Errorf("it has %d bytes, and had %d a moment ago", n, f.size)
	}
	f.git, f.sha256 = hex.EncodeToString(git.Sum(nil)), hex.EncodeToString(large.Sum(nil))
	return nil
}

// open opens the content. A local file must be the one that was hashed.
func (f *pushFile) open() (content io.ReaderAt, closeIt func(), err error) {
	if f.Local == "" {
		f.size = int64(len(f.Data))
		return bytes.NewReader(f.Data), func() {}, nil
	}
	file, err := plainfile.Open(f.Local)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	if f.sha256 == "" {
		f.size, f.changed = info.Size(), info.ModTime()
	}
	if err := f.same(info); err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, func() { file.Close() }, nil
}

// same refuses a file that changed since it was hashed.
func (f *pushFile) same(info os.FileInfo) error {
	if info.Size() != f.size || !info.ModTime().Equal(f.changed) {
		return errors.New("it changed while it was being pushed: wait until nothing writes to it, and run the same command again")
	}
	return nil
}
