package atomicfile

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// What killed writes left of a path goes with the next write of the path; the files
// of a write under way, and of other paths, stay.
func TestWriteSweepsItsOwn(t *testing.T) {
	if !locks {
		t.Skip("files that are being written are not locked here")
	}
	dir := t.TempDir()
	keep := []string{".a.json.12-0000abcd", ".a.json.x.tmp", ".b.json.12-0000abcd.tmp", "a.json.12-0000abcd.tmp"}
	for _, n := range append([]string{".a.json.12-0000abcd.tmp", ".a.json.7-ffffffff.tmp"}, keep...) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, n), []byte("half"), 0o644))
	}
	require.NoError(t, Write(filepath.Join(dir, "a.json"), []byte("x")))
	require.ElementsMatch(t, append(keep, "a.json"), names(t, dir))
}

// A process that was killed at any moment of making or removing its folder leaves
// nothing that the next one does not remove.
func TestFolderKilledAnywhere(t *testing.T) {
	if !folderLocks {
		t.Skip("there are no locks here, so nothing can be swept")
	}
	parent := t.TempDir()
	for name, left := range map[string][]string{
		"before its lock":     {".writing-1/"},
		"before its content":  {".writing-1/lock"},
		"while it writes":     {".writing-1/lock", ".writing-1/content/", ".writing-1/content/a"},
		"after it was placed": {".writing-1/lock"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range left {
				full := filepath.Join(parent, path)
				if path[len(path)-1] == '/' {
					require.NoError(t, os.MkdirAll(full, 0o755))
					continue
				}
				require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o755))
				require.NoError(t, os.WriteFile(full, nil, 0o644))
			}
			f, err := CreateFolder(filepath.Join(parent, "model"))
			require.NoError(t, err)
			f.Discard()
			require.Empty(t, names(t, parent))
		})
	}
}

// Many that begin at once sweep up nothing that another one writes.
func TestFoldersAtOnce(t *testing.T) {
	parent := t.TempDir()
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for range 20 {
				path := filepath.Join(parent, string(rune('a'+w)))
				f, err := CreateFolder(path)
				if err == nil {
					err = os.WriteFile(filepath.Join(f.Dir, "file"), nil, 0o644)
				}
				if err == nil {
					err = f.Place()
				}
				if err == nil {
					err = os.RemoveAll(path)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	require.Empty(t, names(t, parent))
}
