package swarm

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// ServeOptions say where a meeting point is and what holds there.
type ServeOptions struct {
	Rules
	Name   string // of the swarm; "" is DefaultName
	Dir    string // of the embedded server's state, its token and certificate
	Listen string // HOST:PORT of the embedded server
	Token  string // that workers must know; "" makes one and keeps it in Dir
	TLS    bool   // encrypt, with a certificate that is made and kept in Dir
	Cert   string // encrypt with the certificate in this file
	Key    string // and its key
	NATS   string // the address of a NATS server to use instead of the embedded one
	Log    func(string)
	// Ready gets the address and the token that workers join with.
	Ready func(join Address, token string)
}

// tickTime is how often the meeting point looks at the clock.
const tickTime = 100 * time.Millisecond

// Serve runs a meeting point until ctx ends, or until its state cannot be kept.
func Serve(ctx context.Context, o ServeOptions) error {
	if o.Name == "" {
		o.Name = DefaultName
	}
	if err := o.Rules.Check(); err != nil {
		return err
	}
	if !swarmName.MatchString(o.Name) {
		return fmt.Errorf("the name %q of the swarm: use letters, digits, '_' and '-'", o.Name)
	}
	nc, join, secret, closeAll, err := o.connect()
	if err != nil {
		return err
	}
	defer closeAll()
	st, err := openStore(ctx, nc, o.Name)
	if err != nil {
		return err
	}
	m, err := newMeeting(ctx, o.Name, o.Rules, st, o.Log)
	if err != nil {
		return fmt.Errorf("continuing the swarm %s: %w", o.Name, err)
	}
	sub, err := nc.Subscribe(subject(o.Name, "*"), func(msg *nats.Msg) {
		op := operation(msg.Subject[strings.LastIndexByte(msg.Subject, '.')+1:])
		if msg.Reply == "" || !slices.Contains(operations, op) {
			return
		}
		_ = msg.Respond(m.handle(op, msg.Data)) // a worker that gets no answer asks again
	})
	if err != nil {
		return err
	}
	if err := sub.SetPendingLimits(-1, 256<<20); err != nil {
		return err
	}
	if err := nc.FlushTimeout(connectTime); err != nil { // until then the server knows of nobody who answers
		return fmt.Errorf("telling the NATS server of the meeting point: %w", err)
	}
	if m.rec != nil {
		o.Log(fmt.Sprintf("continuing at round %d, step %d of %d", m.rec.Round, m.rec.Step, m.rec.Total))
	}
	if o.Ready != nil {
		o.Ready(join, secret)
	}
	ticker := time.NewTicker(tickTime)
	defer ticker.Stop()
	for {
		if err := m.tick(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return m.stop(sub)
		case <-ticker.C:
		}
	}
}

// stop keeps what was learnt of the workers since the last round.
func (m *meeting) stop(sub *nats.Subscription) error {
	_ = sub.Unsubscribe()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rec != nil && m.failed == nil {
		for _, w := range m.members {
			m.rec.Parts.free(w.parts)
		}
		m.keep()
	}
	return m.failed
}

// connect starts the embedded server, or connects to the user's.
func (o *ServeOptions) connect() (nc *nats.Conn, join Address, secret string, closeAll func(), err error) {
	if o.NATS != "" {
		join, err = ParseAddress(o.NATS)
		if err != nil {
			return nil, join, "", nil, err
		}
		join.Name = o.Name
		nc, err = join.connect(o.Token, o.Log)
		if err != nil {
			return nil, join, "", nil, err
		}
		return nc, join, o.Token, nc.Close, nil
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, join, "", nil, fmt.Errorf("making the folder of the swarm: %w", err)
	}
	lock := flock.New(filepath.Join(o.Dir, "lock"))
	if locked, err := lock.TryLock(); err != nil || !locked {
		return nil, join, "", nil, fmt.Errorf("%s is used by another bitnet swarm serve: stop it, or choose another --dir", o.Dir)
	}
	if secret, err = token(o.Dir, o.Token); err != nil {
		return nil, join, "", nil, err
	}
	ns, join, err := o.embed(secret)
	if err != nil {
		lock.Close()
		return nil, join, "", nil, err
	}
	closeAll = func() {
		if nc != nil {
			nc.Close()
		}
		ns.server.Shutdown()
		ns.server.WaitForShutdown()
		lock.Close()
	}
	nc, err = nats.Connect("", nats.InProcessServer(ns.server), nats.UserInfo(inside, ns.password), nats.NoEcho())
	if err != nil {
		closeAll()
		return nil, join, "", nil, fmt.Errorf("the embedded NATS server: %w", err)
	}
	return nc, join, secret, closeAll, nil
}

// inside is the user of the meeting point itself.
const inside = "meeting"

// embedded is a running NATS server with the password of the meeting point.
type embedded struct {
	server   *server.Server
	password string
	secret   string
	worker   *server.User
}

// Check lets in who knows the token, as a worker who may ask the meeting point and
// read the answers, and nothing else: JetStream is out of reach.
func (e *embedded) Check(c server.ClientAuthentication) bool {
	same := func(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
	given := c.GetOpts()
	if given.Username == inside && same(given.Password, e.password) {
		c.RegisterUser(&server.User{Username: inside})
		return true
	}
	if !same(given.Token, e.secret) {
		return false
	}
	c.RegisterUser(e.worker)
	return true
}

// embed starts the embedded server.
func (o *ServeOptions) embed(secret string) (*embedded, Address, error) {
	host, portText, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return nil, Address{}, fmt.Errorf("--listen %q: want HOST:PORT, such as 127.0.0.1:%s", o.Listen, DefaultPort)
	}
	port, err := strconv.Atoi(portText)
	if err != nil || port < 0 || port > 65535 {
		return nil, Address{}, fmt.Errorf("--listen %q: the port is no number of a port", o.Listen)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	if host == "" {
		host = "0.0.0.0"
	}
	var password [16]byte
	_, _ = rand.Read(password[:])
	e := &embedded{secret: secret, password: hex.EncodeToString(password[:])}
	e.worker = &server.User{Username: "worker", Permissions: &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: workerMayAsk(o.Name)},
		Subscribe: &server.SubjectPermission{Allow: []string{inbox(o.Name) + ".>"}},
	}}
	options := &server.Options{
		ServerName: "bitnet-swarm", Host: host, Port: port, NoSigs: true, NoLog: true,
		MaxPayload: 1 << 20, MaxControlLine: 1024, MaxSubs: 64, MaxConn: 4*o.MostWorkers + 16,
		PingInterval: 10 * time.Second, MaxPingsOut: 2, WriteDeadline: 20 * time.Second, AuthTimeout: 5, TLSTimeout: 5,
		JetStream: true, StoreDir: filepath.Join(o.Dir, "jetstream"), SyncInterval: 5 * time.Second, DisableJetStreamBanner: true,
		CustomClientAuthentication: e,
	}
	join := Address{Name: o.Name, TLS: o.TLS || o.Cert != ""}
	if join.TLS {
		c, fingerprint, err := certificate(o.Dir, o.Cert, o.Key)
		if err != nil {
			return nil, join, err
		}
		options.TLSConfig = &tls.Config{Certificates: []tls.Certificate{c}, MinVersion: tls.VersionTLS12}
		join.Fingerprint = fingerprint
	}
	// The server reports a taken port only to its log: try first.
	if port > 0 {
		l, err := net.Listen("tcp", net.JoinHostPort(host, portText))
		if err != nil {
			return nil, join, fmt.Errorf("%w: choose another address with --listen", err)
		}
		l.Close()
	}
	if e.server, err = server.NewServer(options); err != nil {
		return nil, join, fmt.Errorf("the embedded NATS server: %w", err)
	}
	problems := &serverLog{}
	e.server.SetLoggerV2(problems, false, false, false)
	go e.server.Start()
	if !e.server.ReadyForConnections(20 * time.Second) {
		e.server.Shutdown()
		return nil, join, fmt.Errorf("the embedded NATS server does not start: %s", problems.last())
	}
	join.Host = e.server.Addr().String()
	return e, join, nil
}

// workerMayAsk are the subjects that a worker may publish to.
func workerMayAsk(name string) []string {
	var list []string
	for _, op := range operations {
		list = append(list, subject(name, op))
	}
	return list
}

// inbox begins the subjects of answers.
func inbox(name string) string { return "_INBOX.bitnet." + name }
