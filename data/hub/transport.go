//go:build !js

package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"bitnet/data/printable"
)

const (
	maxRedirects = 10
	// The longest that a server may ask to wait.
	longestWait = 5 * time.Minute
	// A connection that gives fewer bytes in a Stall is dropped.
	leastPerStall = 1 << 10
	// A download that gets fewer bytes in a Patience, over all its connections,
	// is given up. Four at a time do better over a modem.
	leastPerPatience = 256 << 10
	// Attempts to connect to a server that does not answer at all.
	dialAttempts = 3
)

// newHTTP makes a client; answer is how long a server may think before it answers.
func newHTTP(stall, answer time.Duration) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: stall}).DialContext,
			TLSHandshakeTimeout:   stall,
			ResponseHeaderTimeout: answer,
			MaxIdleConnsPerHost:   8,
			IdleConnTimeout:       time.Minute,
			ForceAttemptHTTP2:     true,
			DisableCompression:    true, // lengths and hashes are of the bytes as stored
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// StatusError is an answer of the hub that no retry will change.
type StatusError struct {
	Code    int
	URL     string // without the query, which may be a signature
	Message string // of the server, shortened
}

func (e *StatusError) Error() string {
	s := fmt.Sprintf("%s: %d %s", e.URL, e.Code, http.StatusText(e.Code))
	if e.Message != "" {
		s += " (" + e.Message + ")"
	}
	return s
}

// retryError is worth a new attempt, after wait if the server asked for it.
type retryError struct {
	err  error
	wait time.Duration
	dial bool
}

func (e *retryError) Error() string { return e.err.Error() }
func (e *retryError) Unwrap() error { return e.err }

// reply is the end of a chain of redirects.
type reply struct {
	*http.Response
	hub    http.Header // of the hub's own first answer: its X-Linked headers describe the file
	cancel context.CancelFunc
}

func (r *reply) Close() {
	r.Body.Close()
	r.cancel()
}

// send is sendBody without a body.
func (c *Client) send(ctx context.Context, method, address string, header http.Header) (*reply, error) {
	return c.sendBody(ctx, method, address, header, nil)
}

// sendBody makes one request, to a path below the endpoint or to a whole address,
// and follows redirects: to the endpoint's host with the token, to any other
// without, and never with it again after that. A request with a body follows those
// alone that keep the method and the body.
func (c *Client) sendBody(ctx context.Context, method, address string, header http.Header, content *body) (*reply, error) {
	if strings.HasPrefix(address, "/") {
		address = c.base.String() + address
	}
	target, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", address, err)
	}
	ctx, stop := context.WithCancelCause(ctx)
	cancel := func() { stop(context.Canceled) }
	token := c.Token
	var first http.Header
	for range maxRedirects + 1 {
		if !sameHost(target, c.base) {
			token = ""
		}
		req, err := http.NewRequestWithContext(ctx, method, target.String(), nil)
		if err != nil {
			cancel()
			return nil, fmt.Errorf("address %s: %w", plain(target), err)
		}
		for k, v := range header {
			req.Header[k] = v
		}
		req.Header.Set("User-Agent", "bitnet")
		req.Header.Set("Accept-Encoding", "identity")
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		client := c.http
		settled := func() {}
		if content != nil {
			client, settled = c.up, content.attach(c, req, stop)
		}
		resp, err := client.Do(req)
		settled()
		if err != nil {
			if cause := context.Cause(ctx); errors.Is(cause, errStall) || errors.Is(cause, errSlow) {
				err = cause
			}
			cancel()
			if errors.Is(err, errSlow) {
				return nil, fmt.Errorf("%s: %w", plain(target), err)
			}
			if cause := ctx.Err(); cause != nil && errors.Is(err, cause) {
				return nil, cause
			}
			return nil, &retryError{err: fmt.Errorf("%s: %w", plain(target), reason(err)), dial: isDial(err)}
		}
		if first == nil {
			first = resp.Header
		}
		if !isRedirect(resp.StatusCode) {
			resp.Body = c.watch(resp.Body, stop, ctx)
			return &reply{Response: resp, hub: first, cancel: cancel}, nil
		}
		resp.Body.Close()
		if method == http.MethodHead && first.Get("X-Linked-Etag") != "" {
			// The hub has answered everything; its store need not be asked.
			return &reply{Response: resp, hub: first, cancel: cancel}, nil
		}
		next, err := target.Parse(resp.Header.Get("Location"))
		switch {
		case err != nil || resp.Header.Get("Location") == "":
			cancel()
			return nil, fmt.Errorf("%s: redirect without a usable Location", plain(target))
		case content != nil && resp.StatusCode != http.StatusTemporaryRedirect && resp.StatusCode != http.StatusPermanentRedirect:
			cancel()
			return nil, fmt.Errorf("%s: redirect to %s refused: it would lose what is sent", plain(target), plain(next))
		case next.Scheme != "https" && next.Scheme != "http",
			target.Scheme == "https" && next.Scheme != "https":
			cancel()
			return nil, fmt.Errorf("%s: redirect to %s refused: not https", plain(target), plain(next))
		}
		target = next
	}
	cancel()
	return nil, fmt.Errorf("%s: more than %d redirects", plain(target), maxRedirects)
}

func isRedirect(code int) bool {
	switch code {
	case 301, 302, 303, 307, 308:
		return true
	}
	return false
}

func sameHost(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Host, b.Host)
}

// plain is an address fit for a message: without user and query.
func plain(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// reason takes the address, which may hold a signature, out of http's errors.
func reason(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

var errStall = errors.New("the server stalled")

// watched drops a body that gives less than leastPerStall in a Stall.
type watched struct {
	io.ReadCloser
	ctx   context.Context
	got   atomic.Int64
	timer *time.Timer
}

func (c *Client) watch(body io.ReadCloser, stop context.CancelCauseFunc, ctx context.Context) io.ReadCloser {
	w := &watched{ReadCloser: body, ctx: ctx}
	w.timer = time.AfterFunc(time.Hour, func() {
		if w.got.Swap(0) < leastPerStall {
			stop(errStall)
			return
		}
		w.timer.Reset(c.Stall)
	})
	w.timer.Reset(c.Stall)
	return w
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	w.got.Add(int64(n))
	if err != nil && err != io.EOF && errors.Is(context.Cause(w.ctx), errStall) {
		err = errStall
	}
	return n, err
}

func (w *watched) Close() error {
	w.timer.Stop()
	return w.ReadCloser.Close()
}

var errSlow = errors.New("the server is too slow")

// pace gives up a server that sends something now and then, so that it never
// stalls, but would take days.
type pace struct {
	patience time.Duration
	spent    time.Duration // reading
	got      int
}

func (c *Client) newPace() *pace { return &pace{patience: c.Patience} }

func (p *pace) read(r io.Reader, b []byte) (int, error) {
	begun := time.Now()
	n, err := r.Read(b)
	p.spent += time.Since(begun)
	p.got += n
	if p.spent >= p.patience {
		if p.got < leastPerPatience && err != io.EOF {
			return n, fmt.Errorf("%w: %d bytes in %v", errSlow, p.got, p.spent.Round(time.Second))
		}
		p.spent, p.got = 0, 0
	}
	return n, err
}

// paced reads at a pace.
type paced struct {
	pace *pace
	r    io.Reader
}

func (p paced) Read(b []byte) (int, error) { return p.pace.read(p.r, b) }

// status turns an answer outside of 2xx into the error it means.
func status(r *reply) error {
	if r.StatusCode/100 == 2 {
		return nil
	}
	e := &StatusError{Code: r.StatusCode, URL: plain(r.Request.URL), Message: short(r.Header.Get("X-Error-Message"))}
	switch {
	case r.StatusCode == http.StatusTooManyRequests, r.StatusCode == http.StatusRequestTimeout, r.StatusCode >= 500:
		return &retryError{err: e, wait: retryAfter(r.Header.Get("Retry-After"), time.Now())}
	}
	return e
}

// short makes what a server says fit for a message.
func short(s string) string { return printable.Short(s, 200) }

func retryAfter(s string, now time.Time) time.Duration {
	wait := time.Duration(0)
	if n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 32); err == nil {
		wait = time.Duration(n) * time.Second
	} else if t, err := http.ParseTime(s); err == nil {
		wait = t.Sub(now)
	}
	return min(max(wait, 0), longestWait)
}

// retry calls try until it succeeds, fails for good, or has failed too often in
// a row; progress, returned by try, starts the count again.
func (c *Client) retry(ctx context.Context, try func() (progress bool, err error)) error {
	for n := 1; ; n++ {
		progress, err := try()
		var again *retryError
		if err == nil || !errors.As(err, &again) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if progress {
			n = 1
		}
		if n >= c.Attempts || again.dial && n >= dialAttempts {
			return fmt.Errorf("%w (%d attempts)", again, n)
		}
		wait := c.Backoff << (n - 1)
		wait = min(wait/2+rand.N(wait/2+1), time.Minute) // spread, so that many clients do not come back at once
		select {
		case <-time.After(max(wait, again.wait)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// explain adds to an error what the user can do about it.
func (c *Client) explain(repo Repo, err error) error {
	var s *StatusError
	var again *retryError
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &s) && (s.Code == 401 || s.Code == 403):
		return fmt.Errorf("%s %s: %w; accept its terms at %s/%s and set HF_TOKEN, or check the name",
			repo.Kind, repo, err, plain(c.base), repo.page())
	case errors.As(err, &s) && s.Code == 404:
		return fmt.Errorf("%s %s: %w; check the name and the revision", repo.Kind, repo, err)
	case errors.As(err, &s), errors.As(err, &again):
		return fmt.Errorf("%s %s: %w; to work without the hub, copy its cache from another machine to %s and set HF_HUB_OFFLINE=1, or give files of your own with --data PATH",
			repo.Kind, repo, err, c.Cache)
	}
	return fmt.Errorf("%s %s: %w", repo.Kind, repo, err)
}
