//go:build !js

package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"bitnet/data/meter"
	"bitnet/data/printable"
)

// Limits of what goes into the request of a commit.
const (
	maxRegular       = 16 << 20  // bytes of one file outside of large file storage
	maxRegularTotal  = 128 << 20 // of all of them
	preuploadAtATime = 100
)

// Push puts files into a repository as one commit on the branch repo.Revision,
// and makes the repository if there is none. Files that the repository has are
// not sent again, nor are large ones that an interrupted push has sent whole.
// Either all files are in the repository afterwards, with the hashes of the
// local ones, or the branch is as it was.
func (c *Client) Push(ctx context.Context, repo Repo, sources []Source, o PushOptions) (*Pushed, error) {
	if o.Note == nil {
		o.Note = func(string) {}
	}
	if o.Meter == nil {
		o.Meter = meter.New(0)
	}
	if repo.Revision == "" {
		repo.Revision = "main"
	}
	switch {
	case c.Offline:
		return nil, errors.New("HF_HUB_OFFLINE is set: unset it to push")
	case c.Token == "":
		return nil, fmt.Errorf("pushing to %s needs a token with write access: make one at %s/settings/tokens and put it into HF_TOKEN or a file for --token-file", plain(c.base), plain(c.base))
	case !strings.Contains(repo.Name, "/"):
		return nil, fmt.Errorf("%q is not a repository of yours: write ORG/NAME, where ORG is your user name or an organization", repo.Name)
	case commitID.MatchString(repo.Revision):
		return nil, fmt.Errorf("%s names a commit, which cannot change: name a branch, such as %s@main", repo, repo.Name)
	}
	files, err := readSources(ctx, sources)
	if err != nil {
		return nil, err
	}
	p := &push{Client: c, repo: repo, files: files, PushOptions: o}
	done, err := p.run(ctx)
	if err != nil {
		return nil, c.explainPush(repo, err)
	}
	return done, nil
}

// push is one Push under way.
type push struct {
	*Client
	PushOptions
	repo  Repo
	files []*pushFile
	done  Pushed
}

func (p *push) run(ctx context.Context) (*Pushed, error) {
	p.done.Page = plain(p.base) + "/" + p.repo.page()
	remote, err := p.open(ctx)
	if err != nil {
		return nil, err
	}
	var left []*pushFile
	for _, f := range p.files {
		if have, ok := remote.File(f.Path); ok && have.Size == f.size && f.is(have.Hash) {
			p.done.Kept++
			p.Meter.Skip(f.size)
			continue
		}
		left = append(left, f)
	}
	for part := range slices.Chunk(left, preuploadAtATime) {
		if err := p.preupload(ctx, part); err != nil {
			return nil, err
		}
	}
	left = slices.DeleteFunc(left, func(f *pushFile) bool { return f.ignored })
	if len(left) == 0 {
		p.done.Commit = remote.Commit
		return &p.done, nil
	}
	if err := p.sendLargeFiles(ctx, left); err != nil {
		return nil, err
	}
	if err := p.commit(ctx, remote.Commit, left); err != nil {
		return nil, err
	}
	for _, f := range left {
		p.done.Sent++
		p.done.SentBytes += f.size
	}
	return &p.done, p.confirm(ctx, left)
}

// open finds the repository, or makes it, and lists what it holds.
func (p *push) open(ctx context.Context) (*Snapshot, error) {
	s, err := p.fetchList(ctx, p.repo)
	var answer *StatusError
	if !errors.As(err, &answer) || answer.Code != http.StatusNotFound {
		return s, err
	}
	if p.repo.Revision != "main" {
		return nil, fmt.Errorf("%w; there is no such repository, or it has no branch %q: push to main first, and make the branch on the hub", err, p.repo.Revision)
	}
	org, name, _ := strings.Cut(p.repo.Name, "/")
	var made struct {
		URL string `json:"url"`
	}
	err = p.post(ctx, "/api/repos/create", jsonType, encode(map[string]any{
		"type": string(p.repo.Kind), "organization": org, "name": name, "private": p.Private,
	}), &made)
	switch {
	case errors.As(err, &answer) && answer.Code == http.StatusConflict:
		// It is there, and was not a moment ago; or it cannot be read.
	case err != nil:
		return nil, fmt.Errorf("creating the repository: %w", err)
	default:
		p.done.Created = true
	}
	if s, err = p.fetchList(ctx, p.repo); err != nil {
		return nil, fmt.Errorf("reading the repository after it was created: %w", err)
	}
	return s, nil
}

// preupload asks the hub which files go to large file storage.
func (p *push) preupload(ctx context.Context, files []*pushFile) error {
	type file struct {
		Path   string `json:"path"`
		Size   int64  `json:"size"`
		Sample []byte `json:"sample"` // base64 in JSON
	}
	var ask struct {
		Files []file `json:"files"`
	}
	for _, f := range files {
		ask.Files = append(ask.Files, file{f.Path, f.size, f.sample})
	}
	var answer struct {
		Files []struct {
			Path   string `json:"path"`
			Mode   string `json:"uploadMode"`
			Ignore bool   `json:"shouldIgnore"`
		} `json:"files"`
	}
	if err := p.post(ctx, p.repo.api("preupload/"+url.PathEscape(p.repo.Revision)), jsonType, encode(ask), &answer); err != nil {
		return fmt.Errorf("asking how to send the files: %w", err)
	}
	if len(answer.Files) != len(files) {
		return fmt.Errorf("the hub answers about %d files, it was asked about %d", len(answer.Files), len(files))
	}
	modes := map[string]int{}
	for i, a := range answer.Files {
		modes[a.Path] = i
	}
	for _, f := range files {
		i, ok := modes[f.Path]
		if !ok {
			return fmt.Errorf("the hub does not say how to send %s", printable.String(f.Path))
		}
		a := answer.Files[i]
		switch {
		case a.Ignore:
			f.ignored = true
			p.Note(fmt.Sprintf("the repository's .gitignore leaves out %s", printable.String(f.Path)))
			p.Meter.Skip(f.size)
		case a.Mode == "lfs":
			f.large = true
		case a.Mode != "regular":
			return fmt.Errorf("the hub wants %s sent as %q, which this program does not know", printable.String(f.Path), short(a.Mode))
		}
	}
	return nil
}

// sendLargeFiles sends the files for large file storage, several at a time. The
// first error stops the others.
func (p *push) sendLargeFiles(ctx context.Context, files []*pushFile) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	queue := make(chan *pushFile)
	var senders sync.WaitGroup
	for range max(p.Parallel, 1) {
		senders.Go(func() {
			for f := range queue {
				if err := p.sendLarge(ctx, f); err != nil {
					stop(fmt.Errorf("sending %s: %w", printable.String(f.Path), err))
				}
			}
		})
	}
	for _, f := range files {
		if f.large {
			select {
			case queue <- f:
			case <-ctx.Done():
			}
		}
	}
	close(queue)
	senders.Wait()
	return context.Cause(ctx)
}

// explainPush adds to an error of a push what the user can do about it.
func (c *Client) explainPush(repo Repo, err error) error {
	var s *StatusError
	var again *retryError
	name := fmt.Sprintf("pushing to %s %s", repo.Kind, repo)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &s) && s.Code == http.StatusUnauthorized:
		return fmt.Errorf("%s: %w; the hub does not accept the token: check HF_TOKEN, or make a new one at %s/settings/tokens", name, err, plain(c.base))
	case errors.As(err, &s) && s.Code == http.StatusForbidden:
		return fmt.Errorf("%s: %w; the token may not write there: make one with write access at %s/settings/tokens, or push to a name of yours", name, err, plain(c.base))
	case errors.As(err, &s) && s.Code == http.StatusPreconditionFailed:
		return fmt.Errorf("%s: %w; somebody changed the repository meanwhile: run the same command again", name, err)
	case errors.As(err, &again):
		return fmt.Errorf("%s: %w; large files that were sent whole are kept: run the same command again to resume", name, err)
	}
	return fmt.Errorf("%s: %w", name, err)
}
