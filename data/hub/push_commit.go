//go:build !js

package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"bitnet/data/printable"
)

const (
	jsonType   = "application/json"
	ndjsonType = "application/x-ndjson"
)

// encode is JSON without HTML's escapes. What this package sends can always be
// encoded.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v)
	return b.Bytes()
}

// commit makes the commit: a line of JSON for its message, and one for each
// file. It must follow parent. If the answer is lost, the repository says
// whether the commit was made.
func (p *push) commit(ctx context.Context, parent string, files []*pushFile) error {
	text, err := p.commitText(parent, files)
	if err != nil {
		return err
	}
	var answer struct {
		OID string `json:"commitOid"`
	}
	err = p.retry(ctx, func() (bool, error) {
		err := p.postOnce(ctx, p.repo.api("commit/"+url.PathEscape(p.repo.Revision)), ndjsonType, text, &answer)
		var again *retryError
		var refused *StatusError
		lost := errors.As(err, &again) || errors.As(err, &refused) && refused.Code == http.StatusPreconditionFailed
		if !lost || ctx.Err() != nil {
			return false, err
		}
		if s, e := p.fetchList(ctx, p.repo); e == nil && s.Commit != parent && holds(s, files) == nil {
			answer.OID = s.Commit
			return false, nil
		}
		return false, err
	})
	if err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	if !commitID.MatchString(answer.OID) {
		return fmt.Errorf("committing: the hub names no commit (it says %q)", short(answer.OID))
	}
	for _, f := range files {
		if !f.large {
			p.Meter.Add(f.size)
		}
	}
	p.done.Commit = answer.OID
	return nil
}

// commitText is the body of the commit.
func (p *push) commitText(parent string, files []*pushFile) ([]byte, error) {
	type line struct {
		Key   string `json:"key"`
		Value any    `json:"value"`
	}
	type header struct {
		Summary     string `json:"summary"`
		Description string `json:"description"`
		Parent      string `json:"parentCommit"`
	}
	type regular struct {
		Content  []byte `json:"content"` // base64 in JSON
		Path     string `json:"path"`
		Encoding string `json:"encoding"`
	}
	type large struct {
		Path string `json:"path"`
		Algo string `json:"algo"`
		OID  string `json:"oid"`
		Size int64  `json:"size"`
	}
	text := encode(line{"header", header{p.Message, "", parent}})
	total := int64(0)
	for _, f := range files {
		if f.large {
			text = append(text, encode(line{"lfsFile", large{f.Path, "sha256", f.sha256, f.size}})...)
			continue
		}
		if total += f.size; f.size > maxRegular || total > maxRegularTotal {
			return nil, fmt.Errorf("the hub wants %s (%d bytes) outside of large file storage, where a file may have %d MiB and all together %d MiB",
				printable.String(f.Path), f.size, maxRegular>>20, maxRegularTotal>>20)
		}
		b, err := f.all()
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", printable.String(f.Path), err)
		}
		text = append(text, encode(line{"file", regular{b, f.Path, "base64"}})...)
	}
	return text, nil
}

// all is the content of a small file.
func (f *pushFile) all() ([]byte, error) {
	content, closeIt, err := f.open()
	if err != nil {
		return nil, err
	}
	defer closeIt()
	b := make([]byte, f.size)
	if n, err := content.ReadAt(b, 0); err != nil && (err != io.EOF || int64(n) < f.size) {
		return nil, err
	}
	return b, nil
}

// confirm reads back what the commit holds.
func (p *push) confirm(ctx context.Context, files []*pushFile) error {
	at := p.repo
	at.Revision = p.done.Commit
	s, err := p.fetchList(ctx, at)
	if err != nil {
		return fmt.Errorf("the commit %s was made, but reading it back failed: %w", p.done.Commit, err)
	}
	if err := holds(s, files); err != nil {
		return fmt.Errorf("the commit %s is not what was sent: %w", p.done.Commit, err)
	}
	return nil
}

// holds says which of the files a snapshot does not hold. A listing without
// hashes is believed.
func holds(s *Snapshot, files []*pushFile) error {
	for _, f := range files {
		have, ok := s.File(f.Path)
		switch {
		case !ok:
			return fmt.Errorf("the hub does not list %s", printable.String(f.Path))
		case have.Hash == "":
		case have.Size != f.size || !f.is(have.Hash):
			return fmt.Errorf("the hub lists %s with %d bytes and hash %s, sent were %d bytes with %s", printable.String(f.Path), have.Size, have.Hash, f.size, f.sha256)
		}
	}
	return nil
}

// post is postOnce with retries.
func (c *Client) post(ctx context.Context, address, kind string, text []byte, v any) error {
	return c.retry(ctx, func() (bool, error) { return false, c.postOnce(ctx, address, kind, text, v) })
}

// postOnce sends text and reads the answer, which must be JSON, into v; nil for
// an answer that does not matter.
func (c *Client) postOnce(ctx context.Context, address, kind string, text []byte, v any) error {
	header := http.Header{"Content-Type": {kind}, "Accept": {jsonType}}
	if kind == lfsType {
		header.Set("Accept", lfsType)
	}
	r, err := c.sendBody(ctx, http.MethodPost, address, header, &body{content: bytes.NewReader(text), size: int64(len(text))})
	if err != nil {
		return err
	}
	defer r.Close()
	where := plain(r.Request.URL)
	b, err := io.ReadAll(io.LimitReader(paced{c.newPace(), r.Body}, maxPage+1))
	if failed := status(r); failed != nil {
		return withMessage(failed, b)
	}
	switch {
	case errors.Is(err, errSlow):
		return fmt.Errorf("%s: %w", where, err)
	case err != nil:
		return &retryError{err: fmt.Errorf("%s: %w", where, err)}
	case len(b) > maxPage:
		return fmt.Errorf("%s: answer of more than %d bytes", where, maxPage)
	case v == nil:
		return nil
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: this is not the answer of a hub: it is not the JSON that was expected", where)
	}
	return nil
}

// withMessage gives an error of the hub the reason that its answer holds.
func withMessage(err error, answer []byte) error {
	var s *StatusError
	var told struct {
		Error   string `json:"error"`
		Message string `json:"message"`
	}
	if errors.As(err, &s) && s.Message == "" && json.Unmarshal(answer, &told) == nil {
		if told.Error == "" {
			told.Error = told.Message
		}
		s.Message = short(told.Error)
	}
	return err
}
