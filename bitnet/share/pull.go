package share

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"bitnet/data/atomicfile"
	"bitnet/data/ctxio"
	"bitnet/data/hub"
	"bitnet/data/printable"
)

// Select gives the files of a snapshot that match one of some patterns, or all
// without a pattern. It refuses a listing that no folder could hold: one path
// twice, paths that differ in upper and lower case alone, or a file that is
// also a folder.
func Select(s *hub.Snapshot, patterns ...string) ([]hub.File, error) {
	files := s.Files
	if len(patterns) > 0 {
		var err error
		if files, err = s.Match(patterns...); err != nil {
			return nil, err
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("model %s has no such files", s.Repo)
	}
	taken := map[string]string{} // lower case, files and folders
	for _, f := range files {
		low := strings.ToLower(f.Path)
		if other, ok := taken[low]; ok {
			return nil, fmt.Errorf("model %s lists %s and %s: a folder cannot hold both on every system; choose with --files", s.Repo, printable.String(other), printable.String(f.Path))
		}
		taken[low] = f.Path
	}
	for _, f := range files {
		for dir := strings.ToLower(f.Path); ; {
			i := strings.LastIndexByte(dir, '/')
			if i < 0 {
				break
			}
			dir = dir[:i]
			if other, ok := taken[dir]; ok {
				return nil, fmt.Errorf("model %s lists %s as a file and as a folder; choose with --files", s.Repo, printable.String(other))
			}
		}
	}
	return files, nil
}

// Place copies pulled files, whose paths in the cache are given in the same
// order, into a new folder, which appears when it is whole.
func Place(ctx context.Context, files []hub.File, cached []string, dir string) (err error) {
	folder, err := atomicfile.NewFolder(dir)
	if err != nil {
		return fmt.Errorf("making the folder of --output: %w", err)
	}
	defer folder.Discard()
	for i, f := range files {
		if err := copyFile(ctx, cached[i], filepath.Join(folder.Dir, filepath.FromSlash(f.Path))); err != nil {
			return fmt.Errorf("copying %s: %w", printable.String(f.Path), err)
		}
	}
	if err := folder.Place(); err != nil {
		return fmt.Errorf("placing %s: %w", printable.String(dir), err)
	}
	return nil
}

// copyFile copies a file of the cache, which may be a link there.
func copyFile(ctx context.Context, from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, ctxio.Reader(ctx, in))
	return errors.Join(err, out.Sync(), out.Close())
}
