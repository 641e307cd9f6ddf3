//go:build !js

package hub

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"bitnet/data/atomicfile"
	"bitnet/data/ctxio"
	"bitnet/data/printable"
)

// Download brings one file into the cache and gives its path there. It does not
// fetch again what is there, resumes what was begun, and the file appears only
// when its size and hash are those that the hub names. count, if not nil, gets
// the number of bytes as they come: fresh ones, and ones that were found
// (negative: found or fetched, but wrong).
func (c *Client) Download(ctx context.Context, s *Snapshot, f File, count func(n int64, fresh bool)) (string, error) {
	if count == nil {
		count = func(int64, bool) {}
	}
	p, err := c.download(ctx, s, f, count)
	if err != nil {
		return "", c.explain(s.Repo, fmt.Errorf("downloading %s: %w", printable.String(f.Path), err))
	}
	return p, nil
}

// Has says whether Download would find the file in the cache.
func (c *Client) Has(s *Snapshot, f File) bool {
	if checkPath(f.Path) != nil || !commitID.MatchString(s.Commit) {
		return false
	}
	info, err := os.Stat(c.pointer(s, f.Path))
	return err == nil && info.Mode().IsRegular() && (f.Size < 0 || info.Size() == f.Size)
}

func (c *Client) download(ctx context.Context, s *Snapshot, f File, count func(int64, bool)) (string, error) {
	if err := checkPath(f.Path); err != nil {
		return "", err
	}
	if !commitID.MatchString(s.Commit) {
		return "", fmt.Errorf("%q is not a commit", s.Commit)
	}
	pointer := c.pointer(s, f.Path)
	if c.Has(s, f) {
		count(max(f.Size, 0), false)
		return pointer, nil
	}
	if c.Offline {
		return "", fmt.Errorf("it is not in the cache %s, and HF_HUB_OFFLINE is set: unset it, or copy the cache from a machine that has the file", c.Cache)
	}
	if f.Size < 0 || f.Hash == "" {
		var err error
		if f, err = c.describe(ctx, s, f); err != nil {
			return "", err
		}
	}
	sum, err := newSum(f)
	if err != nil {
		return "", err
	}
	blob := c.blob(s.Repo, f.Hash)
	for _, d := range []string{filepath.Dir(blob), filepath.Dir(c.lock(s.Repo, f.Hash))} {
		if err := os.MkdirAll(d, 0o777); err != nil {
			return "", fmt.Errorf("making a folder in the cache: %w", err)
		}
	}
	lock := flock.New(c.lock(s.Repo, f.Hash))
	if _, err := lock.TryLockContext(ctx, 100*time.Millisecond); err != nil {
		return "", fmt.Errorf("waiting for a different process that downloads it (%s): %w", lock.Path(), err)
	}
	defer lock.Unlock()
	if info, err := os.Stat(blob); err == nil && info.Size() == f.Size {
		count(f.Size, false)
	} else if err := c.fill(ctx, s, f, blob, sum, count); err != nil {
		return "", err
	}
	return pointer, link(ctx, blob, pointer)
}

// describe asks for the size and hash of a file that the listing only names.
func (c *Client) describe(ctx context.Context, s *Snapshot, f File) (File, error) {
	err := c.retry(ctx, func() (bool, error) {
		r, err := c.send(ctx, http.MethodHead, s.Repo.resolve(s.Commit, f.Path), nil)
		if err != nil {
			return false, err
		}
		defer r.Close()
		if !isRedirect(r.StatusCode) {
			if err := status(r); err != nil {
				return false, err
			}
		}
		etag, size := r.hub.Get("X-Linked-Etag"), r.hub.Get("X-Linked-Size")
		if etag == "" {
			etag, size = r.Header.Get("Etag"), r.Header.Get("Content-Length")
		}
		if at := r.hub.Get("X-Repo-Commit"); at != "" && at != s.Commit {
			return false, fmt.Errorf("the hub answers for commit %s, not %s", short(at), s.Commit)
		}
		f.Hash = strings.Trim(strings.TrimPrefix(etag, "W/"), `"`)
		f.Size, err = strconv.ParseInt(size, 10, 64)
		if err != nil || f.Size < 0 {
			return false, fmt.Errorf("the hub does not say how long the file is")
		}
		return false, nil
	})
	return f, err
}

// newSum gives the hash that names a file in the cache: SHA-256 for files
// in large file storage, git's SHA-1 of a blob for the others.
func newSum(f File) (func() hash.Hash, error) {
	switch {
	case sha256ID.MatchString(f.Hash):
		return sha256.New, nil
	case commitID.MatchString(f.Hash):
		return func() hash.Hash {
			h := sha1.New()
			fmt.Fprintf(h, "blob %d\x00", f.Size)
			return h
		}, nil
	}
	return nil, fmt.Errorf("the hub gives no hash to check it by (%q)", short(f.Hash))
}

// errWrong is content that is not what the hub promised.
var errWrong = errors.New("the content does not match the hash that the hub gives for it")

// fill makes the blob. The caller holds its lock.
func (c *Client) fill(ctx context.Context, s *Snapshot, f File, blob string, sum func() hash.Hash, count func(int64, bool)) error {
	part := blob + ".incomplete"
	file, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return fmt.Errorf("writing to the cache: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	have := info.Size()
	if have > f.Size {
		have = 0
	}
	count(have, false)

	// Content can be wrong because of what an earlier run left, so one fresh
	// start is worth it.
	for fresh := have == 0; ; fresh = true {
		if have, err = c.receive(ctx, s, f, file, have, count); err != nil {
			return err
		}
		err := verify(ctx, file, f, sum())
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		count(-have, false)
		have = 0
		if e := file.Truncate(0); e != nil {
			return e
		}
		if fresh || !errors.Is(err, errWrong) {
			file.Close()
			os.Remove(part)
			return err
		}
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", part, err)
	}
	if err := atomicfile.Rename(part, blob); err != nil {
		return fmt.Errorf("placing %s: %w", blob, err)
	}
	return nil
}

// receive appends to file, which holds have good bytes, until it has f.Size.
func (c *Client) receive(ctx context.Context, s *Snapshot, f File, file *os.File, have int64, count func(int64, bool)) (int64, error) {
	if err := file.Truncate(have); err != nil {
		return have, err
	}
	slow := c.newPace()
	err := c.retry(ctx, func() (bool, error) {
		if have == f.Size {
			return false, nil
		}
		before := have
		err := c.receiveOnce(ctx, s, f, file, &have, slow, count)
		return have-before > min(1<<20, f.Size/16), err
	})
	if err != nil && have > 0 && ctx.Err() == nil {
		err = fmt.Errorf("%w; %d of %d bytes are kept: run the same command again to resume", err, have, f.Size)
	}
	return have, err
}

func (c *Client) receiveOnce(ctx context.Context, s *Snapshot, f File, file *os.File, have *int64, slow *pace, count func(int64, bool)) error {
	header := http.Header{}
	if *have > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", *have))
	}
	r, err := c.send(ctx, http.MethodGet, s.Repo.resolve(s.Commit, f.Path), header)
	if err != nil {
		return err
	}
	defer r.Close()
	if at := r.hub.Get("X-Repo-Commit"); at != "" && at != s.Commit {
		return fmt.Errorf("the hub answers for commit %s, not %s", short(at), s.Commit)
	}
	if n := r.hub.Get("X-Linked-Size"); n != "" && n != strconv.FormatInt(f.Size, 10) {
		return fmt.Errorf("the hub lists %d bytes and now announces %s", f.Size, short(n))
	}
	restart := func() error {
		count(-*have, false)
		*have = 0
		return file.Truncate(0)
	}
	switch r.StatusCode {
	case http.StatusOK: // the server does not do ranges, or none was asked for
		if *have > 0 {
			if err := restart(); err != nil {
				return err
			}
		}
	case http.StatusPartialContent:
		if from, total, ok := contentRange(r.Header.Get("Content-Range")); !ok || from != *have || total >= 0 && total != f.Size {
			if err := restart(); err != nil {
				return err
			}
			return &retryError{err: fmt.Errorf("%s: asked for bytes from %d on, got %q", plain(r.Request.URL), *have, short(r.Header.Get("Content-Range")))}
		}
	case http.StatusRequestedRangeNotSatisfiable:
		if err := restart(); err != nil {
			return err
		}
		return &retryError{err: &StatusError{Code: r.StatusCode, URL: plain(r.Request.URL)}}
	default:
		if err := status(r); err != nil {
			return err
		}
		return fmt.Errorf("%s: unexpected answer %s", plain(r.Request.URL), short(r.Status))
	}
	left := f.Size - *have
	if n := r.ContentLength; n >= 0 && n != left {
		return &retryError{err: fmt.Errorf("%s: the server announces %d bytes, %d are missing", plain(r.Request.URL), n, left)}
	}
	buf := make([]byte, 256<<10)
	for left > 0 {
		n, err := slow.read(r.Body, buf[:min(int64(len(buf)), left)])
		if n > 0 {
			if _, err := file.WriteAt(buf[:n], *have); err != nil {
				return fmt.Errorf("writing to the cache: %w", err)
			}
			*have += int64(n)
			left -= int64(n)
			count(int64(n), true)
		}
		if err == io.EOF && left > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil && left > 0 {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if errors.Is(err, errSlow) {
				return fmt.Errorf("%s: %w", plain(r.Request.URL), err)
			}
			return &retryError{err: fmt.Errorf("%s: after %d of %d bytes: %w", plain(r.Request.URL), *have, f.Size, err)}
		}
	}
	// A body that does not end where it should has one byte too many.
	if n, _ := r.Body.Read(buf[:1]); n > 0 {
		return fmt.Errorf("%s: the server sends more than the %d bytes of the file", plain(r.Request.URL), f.Size)
	}
	return nil
}

func contentRange(s string) (from, total int64, ok bool) {
	s, found := strings.CutPrefix(s, "bytes ")
	span, size, cut := strings.Cut(s, "/")
	first, _, dash := strings.Cut(span, "-")
	if !found || !cut || !dash {
		return 0, 0, false
	}
	from, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return 0, 0, false
	}
	if size == "*" {
		return from, -1, true
	}
	total, err = strconv.ParseInt(size, 10, 64)
	return from, total, err == nil
}

func verify(ctx context.Context, file *os.File, f File, h hash.Hash) error {
	n, err := io.Copy(h, ctxio.Reader(ctx, io.NewSectionReader(file, 0, 1<<62)))
	if err != nil {
		return fmt.Errorf("reading back: %w", err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); n != f.Size || got != f.Hash {
		return fmt.Errorf("%w: %d bytes with hash %s, expected %d with %s", errWrong, n, got, f.Size, f.Hash)
	}
	return nil
}
