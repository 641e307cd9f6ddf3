package swarm

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

// attacker is a worker that has joined and can send what it likes.
type attacker struct {
	t *testing.T
	*Worker
	round, local int64
}

func newAttacker(t *testing.T, s *serving, name string, total int64) *attacker {
	c, err := Dial(context.Background(), s.address, s.token, func(string) {})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	w, err := c.NewWorker(name)
	require.NoError(t, err)
	w.every = 20 * time.Millisecond
	r, err := w.Join(context.Background(), newToy(t, name, 1, 9).joining(total))
	require.NoError(t, err)
	t.Cleanup(w.Leave)
	return &attacker{t, w, r.Number, int64(r.Steps)}
}

// change announces a change and sends it. The attacker has no step to lose: it takes
// the round that the swarm is in.
func (a *attacker) change(q request, change []byte) error {
	_, _, err := a.take(context.Background())
	require.NoError(a.t, err)
	q.Kind, q.Round = kindChange, a.Worker.round+q.Round
	if q.Steps == 0 {
		q.Steps = 1
	}
	for {
		err := a.client.upload(context.Background(), q, change)
		if !has(err, codeOver) || q.Round != a.Worker.round {
			return err
		}
		_, _, err = a.take(context.Background())
		require.NoError(a.t, err)
		q.Round = a.Worker.round
	}
}

// What attackers send is refused and named in the log, and the others end with the
// weights that they would have had.
func TestHostileWorkers(t *testing.T) {
	s := serve(t, ServeOptions{Rules: quickRules(), Dir: t.TempDir()})
	good, better := newToy(t, "good", 10, 1), newToy(t, "better", 10, 2)
	good.pause, better.pause = 12*time.Millisecond, 12*time.Millisecond
	done := make(chan bool)
	const total = 200
	go func() {
		defer close(done)
		together(t, s, total, good, better)
	}()
	require.Eventually(t, func() bool { return s.log.has("round 0:") }, 2*time.Minute, 5*time.Millisecond)

	n := blocksLen(toySize)
	nan := make([]byte, n)
	binary.LittleEndian.PutUint32(nan, math.Float32bits(float32(math.NaN())))
	huge := make([]byte, n)
	for i := 0; i+4 < n; i += blockSize + 4 {
		binary.LittleEndian.PutUint32(huge[i:], math.Float32bits(1e30))
		huge[i+4] = 100
	}
	for _, x := range []struct {
		name, want string
		q          request
		change     []byte
	}{
		{"not-a-number", "not finite", request{}, nan},
		{"far-away", "norm of", request{}, huge},
		{"other-shapes", "it announced a change of 99 bytes", request{}, make([]byte, 99)},
		{"too-many-steps", "it claims 1000000 local steps", request{Steps: 1000000}, make([]byte, n)},
		{"replayed-round", "it sent a change of round", request{Round: -1}, make([]byte, n)},
		{"bad-loss", "the loss", request{Loss: math.MaxFloat64}, nil},
	} {
		if x.change == nil {
			continue
		}
		a := newAttacker(t, s, x.name, total)
		err := a.change(x.q, x.change)
		require.Error(t, err, x.name)
		require.Eventually(t, func() bool { return s.log.has("refused "+x.name+": ") && s.log.has(x.want) }, 2*time.Minute, 5*time.Millisecond, "%s: %v\n%s", x.name, err, s.log)
		a.Leave()
	}

	ten := newAttacker(t, s, "ten-gigabytes", total)
	_, _, err := ten.client.ask(context.Background(), opOpen, request{Kind: kindChange, Round: ten.Worker.round, Bytes: 10 << 30, SHA256: strings.Repeat("0", 64), Steps: 1}, nil)
	require.Error(t, err)
	ten.Leave()

	other := newToy(t, "other-model", 1, 5)
	j := other.joining(total)
	j.Agreement = map[string]string{"model": "different"}
	c, err := Dial(context.Background(), s.address, s.token, func(string) {})
	require.NoError(t, err)
	defer c.Close()
	w, err := c.NewWorker("other-model")
	require.NoError(t, err)
	_, err = w.Join(context.Background(), j)
	require.ErrorContains(t, err, "model is different here and toy in the swarm")
	require.True(t, s.log.has("refused other-model: "), s.log)

	<-done
	require.Equal(t, good.weights, better.weights)
	for _, v := range good.weights {
		require.True(t, finite32(v) && math.Abs(float64(v)) < 1e3)
	}
}

// A change that is far larger than those of the others does not count.
func TestOutlierIsLeftOut(t *testing.T) {
	m := &meeting{rec: newRecord(), members: map[string]*member{}, rules: quickRules()}
	for i, norm := range []float64{1, 1.2, 0.9, 200} {
		key := fmt.Sprint(i)
		m.members[key] = &member{known: &known{Name: "w" + key}, key: key, got: &contribution{share{1, nil}, 1, norm}}
	}
	counted, left := m.judge()
	require.Len(t, counted, 3)
	require.Len(t, left, 1)
	require.Contains(t, left[0], "w3: its change has a norm of 200")
	require.EqualValues(t, 1, m.members["3"].LeftOut)

	// Nobody else is there: its changes count before long.
	m.rec.Norms = []float64{1, 1.2, 0.9}
	for _, key := range []string{"0", "1", "2"} {
		delete(m.members, key)
	}
	rounds := 0
	for counted = nil; len(counted) == 0; rounds++ {
		counted, _ = m.judge()
	}
	require.Equal(t, 6, rounds, "10, 20, 40, 80, 160 and 320 times the median")
	m.members["3"].got.norm = 1
	m.judge()
	m.members["3"].got.norm = 200
	counted, _ = m.judge()
	require.Empty(t, counted, "the bound is as before")
}

// Without the token nobody gets in, and with it nobody gets further than to the
// meeting point: JetStream and the answers to others are out of reach.
func TestPermissions(t *testing.T) {
	s := serve(t, ServeOptions{Rules: quickRules(), Dir: t.TempDir()})
	_, err := Dial(context.Background(), s.address, "", func(string) {})
	require.ErrorContains(t, err, "--swarm-token")
	_, err = Dial(context.Background(), s.address, "wrong", func(string) {})
	require.ErrorContains(t, err, "refuses this token")
	_, err = Dial(context.Background(), s.address+"/elsewhere", s.token, func(string) {})
	require.Error(t, err)

	denied := make(chan error, 8)
	nc, err := nats.Connect(s.address, nats.Token(s.token), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err }))
	require.NoError(t, err)
	defer nc.Close()
	for _, to := range []string{"$JS.API.STREAM.DELETE.KV_bitnet-swarm-main", "$KV.bitnet-swarm-main.head", inbox("main") + ".x", "anything"} {
		require.NoError(t, nc.Publish(to, []byte("{}")))
		require.NoError(t, nc.Flush())
		select {
		case err := <-denied:
			require.ErrorContains(t, err, "Permissions Violation", to)
		case <-time.After(time.Minute):
			t.Fatalf("a worker may publish to %s", to)
		}
	}
	for _, what := range []string{">", "$JS.>", subject("main", opJoin)} {
		_, err := nc.SubscribeSync(what)
		require.NoError(t, err)
		require.NoError(t, nc.Flush())
		select {
		case err := <-denied:
			require.ErrorContains(t, err, "Permissions Violation", what)
		case <-time.After(time.Minute):
			t.Fatalf("a worker may listen to %s", what)
		}
	}
}

// A message of 10 GB ends the connection before it is read; the meeting point stays.
func TestHugeMessage(t *testing.T) {
	s := serve(t, ServeOptions{Rules: quickRules(), Dir: t.TempDir()})
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.address, "nats://"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "CONNECT {\"auth_token\":%q,\"verbose\":false}\r\nPUB %s 10737418240\r\n", s.token, subject("main", opChunk))
	require.NoError(t, err)
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	piece := make([]byte, 1<<20)
	sent := 0
	for ; sent < 1<<10; sent++ {
		if _, err = conn.Write(piece); err != nil {
			break
		}
	}
	require.Error(t, err, "it took %d MiB", sent)
	require.Less(t, sent, 64)
	require.NotNil(t, status(t, s))
}

// Requests with a wrong signature, or that came before, are refused and named.
func TestReplay(t *testing.T) {
	s := serve(t, ServeOptions{Rules: quickRules(), Dir: t.TempDir()})
	a := newAttacker(t, s, "mallory", 100)
	victim := newAttacker(t, s, "victim", 100)
	victim.Leave() // no more signs of life
	q := request{Swarm: a.client.swam, Seq: uint64(time.Now().UnixNano())}
	text, err := seal(victim.client.key, "main", opBeat, &q, nil)
	require.NoError(t, err)
	ask := func(op operation, text []byte) *answer {
		to := a.client.nc.NewInbox()
		sub, err := a.client.nc.SubscribeSync(to)
		require.NoError(t, err)
		require.NoError(t, a.client.nc.PublishRequest(subject("main", op), to, text))
		msg, err := sub.NextMsg(time.Minute)
		require.NoError(t, err)
		got, _, err := readAnswer(msg.Data)
		require.NoError(t, err)
		return got
	}
	ask(opBeat, text)
	require.Contains(t, ask(opBeat, text).Error, "came before")
	require.True(t, s.log.has("refused victim: a request came twice"), s.log)
	// The same bytes for another operation, and with one bit changed.
	require.Contains(t, ask(opLeave, text).Error, "signature")
	for _, at := range []int{0, ed25519.SignatureSize, len(text) - 2} {
		bad := append([]byte(nil), text...)
		bad[at] ^= 1
		require.Contains(t, ask(opBeat, bad).Error, "signature")
	}
	require.True(t, s.log.has("the signature is wrong"), s.log)
}

// Only the certificate with the fingerprint of the address is trusted.
func TestTLS(t *testing.T) {
	s := serve(t, ServeOptions{Rules: quickRules(), Dir: t.TempDir(), TLS: true})
	require.Contains(t, s.address, "tls://127.0.0.1:")
	require.Contains(t, s.address, "#")
	x := newToy(t, "x", 10, 1)
	together(t, s, 20, x)
	at := strings.IndexByte(s.address, '#')
	wrong := s.address[:at+1] + strings.Repeat("ab", 32)
	_, err := Dial(context.Background(), wrong, s.token, func(string) {})
	require.ErrorContains(t, err, "fingerprint")
	_, err = Dial(context.Background(), s.address[:at], s.token, func(string) {})
	require.Error(t, err, "no authority has signed it")
}
