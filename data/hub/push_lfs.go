//go:build !js

package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

const (
	lfsType = "application/vnd.git-lfs+json"
	// maxParts is how many parts a store accepts of one file (S3's limit).
	maxParts = 10_000
	// newAddresses is how often a file may need fresh addresses to send it to:
	// they expire.
	newAddresses = 3
)

// lfsAction is where and how to send something, as git-lfs has it.
type lfsAction struct {
	Href   string            `json:"href"`
	Header map[string]string `json:"header"`
}

// lfsPlan is the hub's answer for one file; upload is nil if it has the file.
type lfsPlan struct {
	upload, verify *lfsAction
}

// sendLarge sends one file to large file storage: as one body (the transfer
// "basic" of git-lfs) or in parts (the hub's "multipart"), as the hub decides.
func (p *push) sendLarge(ctx context.Context, f *pushFile) error {
	for n := 1; ; n++ {
		plan, err := p.lfsBatch(ctx, f)
		if err != nil {
			return err
		}
		if plan.upload == nil {
			p.Meter.Skip(f.size)
			return nil
		}
		if err = p.transfer(ctx, f, plan); err == nil {
			return nil
		}
		// A store answers so when the address has expired.
		var answer *StatusError
		if !errors.As(err, &answer) || n == newAddresses || answer.Code != http.StatusForbidden && answer.Code != http.StatusBadRequest {
			return err
		}
	}
}

// lfsBatch asks where to send a file
// (https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md).
func (p *push) lfsBatch(ctx context.Context, f *pushFile) (*lfsPlan, error) {
	var answer struct {
		Transfer string `json:"transfer"`
		Objects  []struct {
			OID     string                `json:"oid"`
			Size    int64                 `json:"size"`
			Actions map[string]*lfsAction `json:"actions"`
			Error   *struct {
				Code    int    `json:"code"`
				Message string `json:"message"`
			} `json:"error"`
		} `json:"objects"`
	}
	ask := map[string]any{
		"operation": "upload", "transfers": []string{"basic", "multipart"}, "hash_algo": "sha256",
		"ref":     map[string]string{"name": p.repo.Revision},
		"objects": []map[string]any{{"oid": f.sha256, "size": f.size}},
	}
	if err := p.post(ctx, "/"+p.repo.page()+".git/info/lfs/objects/batch", lfsType, encode(ask), &answer); err != nil {
		return nil, fmt.Errorf("asking where to send it: %w", err)
	}
	if t := answer.Transfer; t != "" && t != "basic" && t != "multipart" {
		return nil, fmt.Errorf("the hub wants the transfer %q, this program knows basic and multipart", short(t))
	}
	if len(answer.Objects) != 1 || answer.Objects[0].OID != f.sha256 {
		return nil, errors.New("the hub does not answer about the file that it was asked about")
	}
	object := answer.Objects[0]
	if e := object.Error; e != nil {
		return nil, &StatusError{Code: e.Code, URL: plain(p.base) + "/" + p.repo.page(), Message: short(e.Message)}
	}
	return &lfsPlan{object.Actions["upload"], object.Actions["verify"]}, nil
}

func (p *push) transfer(ctx context.Context, f *pushFile, plan *lfsPlan) error {
	content, closeIt, err := f.open()
	if err != nil {
		return err
	}
	defer closeIt()
	if err := p.checkAddress(plan.upload.Href); err != nil {
		return err
	}
	if chunk, ok := plan.upload.Header["chunk_size"]; ok {
		err = p.multipart(ctx, f, content, plan.upload, chunk)
	} else {
		_, err = p.put(ctx, plan.upload.Href, storeHeader(plan.upload.Header), &body{content: content, size: f.size, count: p.Meter.Add})
	}
	if err != nil {
		return err
	}
	if plan.verify != nil {
		if err := p.checkAddress(plan.verify.Href); err != nil {
			return err
		}
		if err := p.post(ctx, plan.verify.Href, lfsType, encode(map[string]any{"oid": f.sha256, "size": f.size}), nil); err != nil {
			return fmt.Errorf("checking what arrived: %w", err)
		}
	}
	return nil
}

// multipart sends a file in parts to the addresses "1" (or "00001") ... "n" of
// the action's header, and then tells the hub what the store said of each.
func (p *push) multipart(ctx context.Context, f *pushFile, content io.ReaderAt, upload *lfsAction, chunkText string) (err error) {
	chunk, err := strconv.ParseInt(chunkText, 10, 64)
	if err != nil || chunk < 1 {
		return fmt.Errorf("the hub wants parts of %q bytes", short(chunkText))
	}
	parts := max((f.size+chunk-1)/chunk, 1)
	addresses, err := partAddresses(upload.Header, parts)
	if err != nil {
		return err
	}
	type part struct {
		Number int64  `json:"partNumber"`
		ETag   string `json:"etag"`
	}
	complete := struct {
		OID   string `json:"oid"`
		Parts []part `json:"parts"`
	}{OID: f.sha256}
	sent := int64(0) // of parts that are whole
	defer func() {
		if err != nil {
			p.Meter.Add(-sent)
		}
	}()
	for i := range parts {
		if err := p.checkAddress(addresses[i]); err != nil {
			return err
		}
		size := min(chunk, f.size-i*chunk)
		header, err := p.put(ctx, addresses[i], nil, &body{content: content, offset: i * chunk, size: size, count: p.Meter.Add})
		if err != nil {
			return fmt.Errorf("part %d of %d: %w", i+1, parts, err)
		}
		sent += size
		etag := header.Get("Etag")
		if etag == "" || len(etag) > 1<<10 {
			return fmt.Errorf("part %d of %d: the store gives no ETag for it", i+1, parts)
		}
		complete.Parts = append(complete.Parts, part{i + 1, etag})
	}
	if err := p.post(ctx, upload.Href, lfsType, encode(complete), nil); err != nil {
		return fmt.Errorf("putting the parts together: %w", err)
	}
	return nil
}

// partAddresses are the addresses of the parts 1...n.
func partAddresses(header map[string]string, n int64) ([]string, error) {
	if n > maxParts {
		return nil, fmt.Errorf("the hub wants %d parts, more than %d", n, maxParts)
	}
	addresses := make([]string, n)
	found := int64(0)
	for key, address := range header {
		i, err := strconv.ParseInt(key, 10, 64)
		if err != nil {
			continue
		}
		if i < 1 || i > n || addresses[i-1] != "" {
			return nil, fmt.Errorf("the hub's list of parts has a part %q, of %d", short(key), n)
		}
		addresses[i-1] = address
		found++
	}
	if found != n {
		return nil, fmt.Errorf("the hub gives %d addresses for %d parts", found, n)
	}
	return addresses, nil
}

// checkAddress refuses addresses that are not http, or less safe than the hub's.
func (c *Client) checkAddress(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("the hub says to send to %q, which is not an http address", short(address))
	}
	if c.base.Scheme == "https" && u.Scheme != "https" {
		return fmt.Errorf("the hub says to send to %s: refused, not https", plain(u))
	}
	return nil
}

// storeHeader are the headers that the hub wants with a body, without those that
// are the connection's.
func storeHeader(from map[string]string) http.Header {
	header := http.Header{}
	for k, v := range from {
		switch strings.ToLower(k) {
		case "host", "content-length", "transfer-encoding", "connection":
		default:
			header.Set(k, v)
		}
	}
	return header
}

// put sends a body to a store, with retries, and gives the headers of the answer.
func (p *push) put(ctx context.Context, address string, header http.Header, b *body) (got http.Header, err error) {
	err = p.retry(ctx, func() (bool, error) {
		r, err := p.sendBody(ctx, http.MethodPut, address, header, b)
		if err != nil {
			b.failed()
			return false, err
		}
		defer r.Close()
		if err := status(r); err != nil {
			b.failed()
			return false, err
		}
		got = r.Header
		return false, nil
	})
	return got, err
}
