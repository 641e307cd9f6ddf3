package swarm

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"bitnet/bitnet/runs"
)

const (
	answerTime  = 10 * time.Second // for one try of a request
	connectTime = 5 * time.Second
	retryTime   = time.Second
	window      = 8 // pieces on their way at a time
)

// connect connects to the NATS server of an address. Afterwards the connection is
// restored as often as it is lost.
func (a Address) connect(token string, note func(string)) (*nats.Conn, error) {
	options := []nats.Option{
		nats.Name("bitnet"), nats.CustomInboxPrefix(inbox(a.Name)), nats.Timeout(connectTime), nats.MaxReconnects(-1), nats.ReconnectWait(retryTime),
		nats.ReconnectBufSize(-1), nats.PingInterval(10 * time.Second), nats.MaxPingsOutstanding(2), nats.IgnoreAuthErrorAbort(),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // requests report what concerns them
	}
	if token != "" {
		options = append(options, nats.Token(token))
	}
	if a.TLS {
		options = append(options, nats.Secure(a.clientTLS()))
	}
	nc, err := nats.Connect(a.URL, options...)
	switch {
	case err == nil:
		return nc, nil
	case errors.Is(err, nats.ErrAuthorization) && token == "":
		return nil, fmt.Errorf("the meeting point at %s wants a token: give --swarm-token", a.Host)
	case errors.Is(err, nats.ErrAuthorization):
		return nil, fmt.Errorf("the meeting point at %s refuses this token: see what bitnet swarm serve prints", a.Host)
	case errors.Is(err, nats.ErrNoServers):
		return nil, fmt.Errorf("nothing answers at %s: is bitnet swarm serve running there, and the port open?", a.Host)
	}
	return nil, fmt.Errorf("connecting to the meeting point at %s: %w", a.Host, err)
}

// Client asks a meeting point.
type Client struct {
	address Address
	nc      *nats.Conn
	note    func(string)
	silent  atomic.Bool // the user was told that the meeting point does not answer

	mu   sync.Mutex // requests leave in the order of their numbers
	key  ed25519.PrivateKey
	seq  uint64
	swam string // ID of the swarm, once it is known
}

// Dial connects to a meeting point, which must be there. note gets lines for the
// user; it may come from another goroutine.
func Dial(ctx context.Context, address, token string, note func(string)) (*Client, error) {
	a, err := ParseAddress(address)
	if err != nil {
		return nil, err
	}
	nc, err := a.connect(token, note)
	if err != nil {
		return nil, err
	}
	c := &Client{address: a, nc: nc, note: note, key: newKey()}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if _, err := c.Status(ctx); err != nil {
		nc.Close()
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrNoResponders) {
			err = fmt.Errorf("there is a NATS server at %s, but no meeting point of a swarm %q: start it with bitnet swarm serve", a.Host, a.Name)
		}
		return nil, err
	}
	return c, nil
}

// Close ends the connection.
func (c *Client) Close() { c.nc.Close() }

// Status asks who is there.
func (c *Client) Status(ctx context.Context) (*runs.Swarm, error) {
	a, _, err := c.once(ctx, opStatus, &request{}, nil)
	if err != nil {
		return nil, err
	}
	if a.Status == nil {
		return nil, errors.New("the meeting point gives no status")
	}
	return a.Status, nil
}

// Plan asks what the swarm trains; nil if nobody has founded it yet.
func (c *Client) Plan(ctx context.Context) (*Plan, error) {
	s, err := c.Status(ctx)
	if err != nil || s.Phase == runs.SwarmEmpty {
		return nil, err
	}
	text, sha, err := c.download(ctx, kindPlan, 0, maxPlan)
	if err != nil {
		return nil, err
	}
	if hash(text) != sha {
		return nil, errors.New("the plan of the swarm was damaged on its way")
	}
	return readPlan(text)
}

// refusal is an answer that is an error.
type refusal struct {
	code code
	text string
	seq  uint64 // the number that the next request must exceed, or 0
}

func (r *refusal) Error() string { return "the meeting point says: " + r.text }

// has reports whether an error is a refusal with a code.
func has(err error, c code) bool {
	var r *refusal
	return errors.As(err, &r) && r.code == c
}

// pending is a request that was sent.
type pending struct{ sub *nats.Subscription }

// send sends a request.
func (c *Client) send(op operation, q *request, body []byte) (*pending, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq = max(c.seq+1, uint64(time.Now().UnixNano()))
	q.Seq = c.seq
	if op != opStatus && q.Swarm == "" {
		q.Swarm = c.swam
	}
	text, err := seal(c.key, c.address.Name, op, q, body)
	if err != nil {
		return nil, err
	}
	to := c.nc.NewInbox()
	sub, err := c.nc.SubscribeSync(to)
	if err != nil {
		return nil, err
	}
	if err = sub.AutoUnsubscribe(1); err == nil {
		err = c.nc.PublishRequest(subject(c.address.Name, op), to, text)
	}
	if err != nil {
		_ = sub.Unsubscribe()
		return nil, err
	}
	return &pending{sub}, nil
}

// wait waits for the answer to a request.
func (p *pending) wait(ctx context.Context) (*answer, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	msg, err := p.sub.NextMsgWithContext(ctx)
	if err != nil {
		_ = p.sub.Unsubscribe()
		return nil, nil, err
	}
	if len(msg.Data) == 0 && msg.Header.Get("Status") == "503" {
		return nil, nil, nats.ErrNoResponders
	}
	a, body, err := readAnswer(msg.Data)
	if err != nil {
		return nil, nil, err
	}
	if a.Error != "" {
		return nil, nil, &refusal{a.Code, a.Error, a.Seq}
	}
	return a, body, nil
}

// once asks once.
func (c *Client) once(ctx context.Context, op operation, q *request, body []byte) (*answer, []byte, error) {
	p, err := c.send(op, q, body)
	if err != nil {
		return nil, nil, err
	}
	return p.wait(ctx)
}

// ask asks until there is an answer or ctx ends: the meeting point may be restarted
// meanwhile.
func (c *Client) ask(ctx context.Context, op operation, q request, body []byte) (*answer, []byte, error) {
	began := time.Now()
	for {
		again := q
		a, text, err := c.once(ctx, op, &again, body)
		var r *refusal
		if errors.As(err, &r) && r.seq > 0 { // the clock was set back since the worker was last here
			c.mu.Lock()
			c.seq = max(c.seq, r.seq)
			c.mu.Unlock()
			continue
		}
		if err == nil || errors.As(err, &r) || ctx.Err() != nil || c.nc.IsClosed() {
			if (err == nil || r != nil) && c.silent.CompareAndSwap(true, false) {
				c.note("the meeting point answers again")
			}
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return a, text, err
		}
		if time.Since(began) > answerTime/2 && c.silent.CompareAndSwap(false, true) {
			c.note(fmt.Sprintf("the meeting point at %s does not answer: waiting for it; Ctrl-C saves a checkpoint and stops", c.address.Host))
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryTime):
		}
	}
}

// download takes all pieces of something of a round, of at most limit bytes.
func (c *Client) download(ctx context.Context, kind string, round, limit int64) (text []byte, sha string, err error) {
	a, first, err := c.ask(ctx, opGet, request{Kind: kind, Round: round}, nil)
	if err != nil {
		return nil, "", err
	}
	if a.Bytes > limit || int64(len(first)) != min(a.Bytes, chunkLen) {
		return nil, "", fmt.Errorf("the meeting point offers %d bytes of %s: at most %d are taken", a.Bytes, kind, limit)
	}
	text = append(make([]byte, 0, a.Bytes), first...)
	for int64(len(text)) < a.Bytes {
		var list []*pending
		for at := int64(len(text)); at < a.Bytes && len(list) < window; at += chunkLen {
			p, err := c.send(opGet, &request{Kind: kind, Round: round, At: at}, nil)
			if err != nil {
				break
			}
			list = append(list, p)
		}
		failed := len(list) == 0
		for _, p := range list {
			_, piece, err := p.wait(ctx)
			if has(err, codeOver) || has(err, codeRefused) {
				return nil, "", err
			}
			failed = failed || err != nil || int64(len(piece)) != min(a.Bytes-int64(len(text)), chunkLen)
			if !failed {
				text = append(text, piece...)
			}
		}
		if failed { // one at a time, until the meeting point answers
			_, piece, err := c.ask(ctx, opGet, request{Kind: kind, Round: round, At: int64(len(text))}, nil)
			if err != nil {
				return nil, "", err
			}
			if int64(len(piece)) != min(a.Bytes-int64(len(text)), chunkLen) {
				return nil, "", fmt.Errorf("the meeting point sends %d bytes of %s where others were expected", len(piece), kind)
			}
			text = append(text, piece...)
		}
	}
	return text, a.SHA256, nil
}

// upload sends something in pieces. It returns when the meeting point has it, or
// with a refusal.
func (c *Client) upload(ctx context.Context, q request, text []byte) error {
	q.Bytes, q.SHA256 = int64(len(text)), hash(text)
	for ctx.Err() == nil {
		a, _, err := c.ask(ctx, opOpen, q, nil)
		if err != nil || a.Held {
			return err
		}
		held, err := c.pieces(ctx, a.Ticket, text)
		if held || err != nil && !has(err, codeAgain) {
			return err
		}
	}
	return ctx.Err()
}

// pieces sends the pieces of an upload; it reports whether the meeting point holds
// all. An error other than a refusal means: begin again.
func (c *Client) pieces(ctx context.Context, ticket string, text []byte) (held bool, err error) {
	have, stuck := int64(0), 0
	for ctx.Err() == nil && stuck < 3 {
		var list []*pending
		for at := have; at < int64(len(text)) && len(list) < window; at += chunkLen {
			p, err := c.send(opChunk, &request{Ticket: ticket, At: at}, cut(text, at))
			if err != nil {
				break
			}
			list = append(list, p)
		}
		before := have
		for _, p := range list {
			a, _, err := p.wait(ctx)
			var r *refusal
			switch {
			case errors.As(err, &r):
				return false, err
			case err == nil && a.Held:
				return true, nil
			case err == nil:
				have = max(have, a.Bytes)
			}
		}
		if stuck++; have > before {
			stuck = 0
		}
	}
	return false, ctx.Err()
}
