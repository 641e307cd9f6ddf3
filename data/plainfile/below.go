package plainfile

import (
	"io/fs"
	"path/filepath"
	"strings"
)

// Below calls each for what is in a folder and in those below it, in an order that
// depends only on the names, but for folders. Hidden files and folders are left out:
// names that begin with a dot, root's own aside. Links are neither followed nor left out.
func Below(root string, each func(path string, d fs.DirEntry) error) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path != root && strings.HasPrefix(d.Name(), ".") && d.IsDir():
			return fs.SkipDir
		case path != root && strings.HasPrefix(d.Name(), "."), d.IsDir():
			return nil
		}
		return each(path, d)
	})
}
