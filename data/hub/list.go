//go:build !js

package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
)

// File is one file of a repository at a commit.
type File struct {
	Path string `json:"path"`
	Size int64  `json:"size"` // bytes, or -1 if the listing does not say
	Hash string `json:"hash"` // SHA-256 (64 hex digits) or git blob SHA-1 (40), or "" if the listing does not say
}

// Snapshot is a repository at one commit.
type Snapshot struct {
	Repo   Repo
	Commit string
	Files  []File // in the order of their paths
	Cached bool   // the listing is from the cache, not from the hub
	// Partial says that the cache holds no listing: another program filled it,
	// and Files are those it holds. The repository may have more.
	Partial bool
}

// Limits of a listing that is still believable.
const (
	maxPage   = 64 << 20 // bytes of one answer
	maxPages  = 10_000
	maxFiles  = 2_000_000
	maxBarren = 10 // pages in a row without a file
)

// List asks the hub for the commit that a revision names and for its files.
// When offline, or when the hub cannot be reached, it answers from the cache,
// which stores each listing.
func (c *Client) List(ctx context.Context, repo Repo) (*Snapshot, error) {
	if repo.Revision == "" {
		repo.Revision = "main"
	}
	if c.Offline {
		return c.cached(repo)
	}
	tooLong := fmt.Errorf("the hub's listing is not complete after %v", c.Listing)
	within, cancel := context.WithTimeoutCause(ctx, c.Listing, tooLong)
	s, err := c.list(within, repo)
	cancel()
	if err == nil {
		return s, nil
	}
	if ctx.Err() == nil && context.Cause(within) == tooLong {
		err = &retryError{err: tooLong}
	}
	var answer *StatusError
	if ctx.Err() == nil && (!errors.As(err, &answer) || answer.Code >= 500) {
		if old, cacheErr := c.cached(repo); cacheErr == nil {
			return old, nil
		}
	}
	return nil, c.explain(repo, err)
}

func (c *Client) list(ctx context.Context, repo Repo) (*Snapshot, error) {
	s, err := c.fetchList(ctx, repo)
	if err != nil {
		return nil, err
	}
	return s, c.remember(s)
}

// fetchList asks the hub for a listing, and stores nothing.
func (c *Client) fetchList(ctx context.Context, repo Repo) (*Snapshot, error) {
	var info struct {
		SHA      string `json:"sha"`
		Siblings []struct {
			Name string `json:"rfilename"`
		} `json:"siblings"`
	}
	if _, err := c.getJSON(ctx, repo.api("revision/"+url.PathEscape(repo.Revision)), &info); err != nil {
		return nil, err
	}
	if !commitID.MatchString(info.SHA) {
		return nil, fmt.Errorf("the hub names no commit for revision %q (it says %q)", repo.Revision, short(info.SHA))
	}
	s := &Snapshot{Repo: repo, Commit: info.SHA}
	files, err := c.tree(ctx, repo, info.SHA)
	var answer *StatusError
	if errors.As(err, &answer) && answer.Code == http.StatusNotFound {
		// A mirror without the tree call: names only, the rest when a file is asked for.
		for _, f := range info.Siblings {
			files = append(files, File{Path: f.Name, Size: -1})
		}
	} else if err != nil {
		return nil, err
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	s.Files = files
	return s, nil
}

// tree lists all files of a commit, page by page.
func (c *Client) tree(ctx context.Context, repo Repo, commit string) ([]File, error) {
	var files []File
	next := repo.api("tree/" + commit + "?recursive=true")
	seen := map[string]bool{}
	barren := 0
	for range maxPages {
		if seen[next] {
			return nil, fmt.Errorf("the hub's listing repeats itself at %q", short(next))
		}
		seen[next] = true
		var page []struct {
			Type string `json:"type"`
			Path string `json:"path"`
			Size int64  `json:"size"`
			OID  string `json:"oid"`
			LFS  *struct {
				OID  string `json:"oid"`
				Size int64  `json:"size"`
			} `json:"lfs"`
		}
		header, err := c.getJSON(ctx, next, &page)
		if err != nil {
			return nil, err
		}
		for _, e := range page {
			if e.Type != "file" {
				continue
			}
			f := File{Path: e.Path, Size: e.Size, Hash: e.OID}
			if e.LFS != nil {
				f.Size, f.Hash = e.LFS.Size, strings.TrimPrefix(e.LFS.OID, "sha256:")
			}
			if f.Size < 0 || !commitID.MatchString(f.Hash) && !sha256ID.MatchString(f.Hash) {
				return nil, fmt.Errorf("the hub's listing of %q is not valid: size %d, hash %q", f.Path, f.Size, short(f.Hash))
			}
			files = append(files, f)
		}
		if barren++; len(page) > 0 {
			barren = 0
		}
		if barren > maxBarren {
			return nil, fmt.Errorf("the hub's listing has %d pages in a row without a file", barren)
		}
		if len(files) > maxFiles {
			return nil, fmt.Errorf("the hub lists more than %d files", maxFiles)
		}
		link := nextLink(header)
		if link == "" {
			return files, nil
		}
		u, err := url.Parse(link)
		if err != nil || !sameHost(u, c.base) && u.Host != "" {
			return nil, fmt.Errorf("the hub's listing continues at %q: refused, not the hub", short(link))
		}
		next = link
	}
	return nil, fmt.Errorf("the hub's listing does not end after %d pages", maxPages)
}

// nextLink reads the address with rel="next" from Link headers (RFC 8288).
func nextLink(h http.Header) string {
	for _, line := range h.Values("Link") {
		for _, link := range strings.Split(line, ",") {
			address, params, _ := strings.Cut(link, ";")
			address = strings.TrimSpace(address)
			for _, p := range strings.Split(params, ";") {
				k, v, _ := strings.Cut(strings.TrimSpace(p), "=")
				if strings.EqualFold(k, "rel") && strings.Trim(v, `"`) == "next" &&
					strings.HasPrefix(address, "<") && strings.HasSuffix(address, ">") {
					return address[1 : len(address)-1]
				}
			}
		}
	}
	return ""
}

func (c *Client) getJSON(ctx context.Context, address string, v any) (header http.Header, err error) {
	slow := c.newPace()
	err = c.retry(ctx, func() (bool, error) {
		r, err := c.send(ctx, http.MethodGet, address, nil)
		if err != nil {
			return false, err
		}
		defer r.Close()
		if err := status(r); err != nil {
			return false, err
		}
		b, err := io.ReadAll(io.LimitReader(paced{slow, r.Body}, maxPage+1))
		if errors.Is(err, errSlow) {
			return false, fmt.Errorf("%s: %w", plain(r.Request.URL), err)
		}
		if err != nil {
			return false, &retryError{err: fmt.Errorf("%s: %w", plain(r.Request.URL), err)}
		}
		if len(b) > maxPage {
			return false, fmt.Errorf("%s: answer of more than %d bytes", plain(r.Request.URL), maxPage)
		}
		if err := json.Unmarshal(b, v); err != nil {
			return false, fmt.Errorf("%s: this is not the answer of a hub: it is not the JSON that was expected", plain(r.Request.URL))
		}
		header = r.Header
		return false, nil
	})
	return header, err
}

// Match gives the files whose path fits one of the patterns (path.Match: * does
// not cross a slash), in the order of their paths.
func (s *Snapshot) Match(patterns ...string) ([]File, error) {
	var out []File
	for _, f := range s.Files {
		for _, p := range patterns {
			ok, err := path.Match(p, f.Path)
			if err != nil {
				return nil, fmt.Errorf("pattern %q: %w", p, err)
			}
			if ok {
				out = append(out, f)
				break
			}
		}
	}
	return out, nil
}

// File gives the file at path, if the snapshot has it.
func (s *Snapshot) File(path string) (File, bool) {
	i, ok := slices.BinarySearchFunc(s.Files, path, func(f File, p string) int { return strings.Compare(f.Path, p) })
	if !ok {
		return File{}, false
	}
	return s.Files[i], true
}
