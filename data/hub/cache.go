//go:build !js

package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bitnet/data/atomicfile"
	"bitnet/data/ctxio"
	"bitnet/data/plainfile"
)

func (c *Client) dir(repo Repo) string { return filepath.Join(c.Cache, repo.folder()) }

func (c *Client) blob(repo Repo, hash string) string {
	return filepath.Join(c.dir(repo), "blobs", hash)
}

// pointer is where users of the cache find a file; path has been checked.
func (c *Client) pointer(s *Snapshot, path string) string {
	return filepath.Join(c.dir(s.Repo), "snapshots", s.Commit, filepath.FromSlash(path))
}

func (c *Client) lock(repo Repo, hash string) string {
	return filepath.Join(c.Cache, ".locks", repo.folder(), hash+".lock")
}

func (c *Client) ref(repo Repo) string {
	return filepath.Join(c.dir(repo), "refs", filepath.FromSlash(repo.Revision))
}

// listing is a file of our own, in a folder that huggingface_hub does not look
// into: what a commit holds, so that offline a partly filled cache is not taken
// for the whole.
func (c *Client) listing(repo Repo, commit string) string {
	return filepath.Join(c.dir(repo), ".listings", commit+".json")
}

// remember stores what a listing says for later, offline.
func (c *Client) remember(s *Snapshot) error {
	if s.Repo.Revision != s.Commit {
		if err := replaceFile(c.ref(s.Repo), []byte(s.Commit)); err != nil {
			return err
		}
	}
	b, err := json.Marshal(s.Files)
	if err != nil {
		return err
	}
	return replaceFile(c.listing(s.Repo, s.Commit), b)
}

// cached answers List from the cache.
func (c *Client) cached(repo Repo) (*Snapshot, error) {
	fail := func(err error) (*Snapshot, error) {
		return nil, fmt.Errorf("%s %s is not in the cache %s: %w; fetch it once while the hub can be reached and HF_HUB_OFFLINE is unset, copy the cache from another machine, or give files of your own with --data PATH",
			repo.Kind, repo, c.Cache, err)
	}
	s := &Snapshot{Repo: repo, Commit: repo.Revision, Cached: true}
	if !commitID.MatchString(repo.Revision) {
		b, err := plainfile.Read(c.ref(repo), 1<<10)
		if err != nil {
			return fail(fmt.Errorf("%s: %w", c.ref(repo), err))
		}
		s.Commit = strings.TrimSpace(string(b))
		if !commitID.MatchString(s.Commit) {
			return fail(fmt.Errorf("%s names no commit", c.ref(repo)))
		}
	}
	b, err := plainfile.Read(c.listing(repo, s.Commit), maxPage)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// Another program filled the cache: what is there is all that can be known.
		if s.Files, err = c.present(s); err != nil {
			return fail(err)
		}
		s.Partial = true
		return s, nil
	case err == nil:
		s.Files, err = decodeListing(b)
	}
	if err != nil {
		return fail(fmt.Errorf("%s: %w", c.listing(repo, s.Commit), err))
	}
	return s, nil
}

// decodeListing reads what remember stored.
func decodeListing(b []byte) ([]File, error) {
	var files []File
	if err := json.Unmarshal(b, &files); err != nil {
		return nil, errors.New("it is not a listing of files; delete it and fetch it again")
	}
	for _, f := range files {
		if f.Size < -1 || f.Hash != "" && !commitID.MatchString(f.Hash) && !sha256ID.MatchString(f.Hash) {
			return nil, fmt.Errorf("%q has size %d and hash %q; delete the listing and fetch it again", f.Path, f.Size, short(f.Hash))
		}
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files, nil
}

// present lists the files of a snapshot that are in the cache.
func (c *Client) present(s *Snapshot) ([]File, error) {
	var files []File
	root := filepath.Join(c.dir(s.Repo), "snapshots", s.Commit)
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := os.Stat(p)
		if err != nil || !info.Mode().IsRegular() {
			return nil // a link to a blob that was removed
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		f := File{Path: filepath.ToSlash(rel), Size: info.Size()}
		if to, err := os.Readlink(p); err == nil {
			if h := filepath.Base(to); commitID.MatchString(h) || sha256ID.MatchString(h) {
				f.Hash = h
			}
		}
		files = append(files, f)
		return nil
	})
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files, err
}

// replaceFile puts a file into the cache.
func replaceFile(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return fmt.Errorf("making a folder in the cache: %w", err)
	}
	if err := atomicfile.Write(path, b); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// link makes the blob appear at pointer: by a relative symbolic link as
// huggingface_hub does, or by a copy where links are not allowed.
func link(ctx context.Context, blob, pointer string) error {
	if err := os.MkdirAll(filepath.Dir(pointer), 0o777); err != nil {
		return fmt.Errorf("making a folder in the cache: %w", err)
	}
	rel, err := filepath.Rel(filepath.Dir(pointer), blob)
	if err != nil {
		return err
	}
	temp := fmt.Sprintf("%s.%d.tmp", pointer, os.Getpid())
	os.Remove(temp)
	defer os.Remove(temp)
	if symlink(rel, temp) != nil {
		if err := copyFile(ctx, blob, temp); err != nil {
			return fmt.Errorf("copying %s: %w", blob, err)
		}
	}
	if err := atomicfile.Rename(temp, pointer); err != nil {
		return fmt.Errorf("linking %s: %w", pointer, err)
	}
	return nil
}

var symlink = os.Symlink // a test takes it away

func copyFile(ctx context.Context, from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, ctxio.Reader(ctx, in))
	return errors.Join(err, out.Sync(), out.Close())
}
