package swarm

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var fuzzKey = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))

// What is not signed gets no further than the signature; what is signed gets an
// answer, and never a panic.
func FuzzRequest(f *testing.F) {
	for _, op := range operations {
		text, err := seal(fuzzKey, "main", op, &request{Seq: 1, Name: "a", Parameters: 7, StepTokens: 1, StepSamples: 1, TotalSteps: 3}, []byte("body"))
		require.NoError(f, err)
		f.Add(string(op), text)
	}
	f.Fuzz(func(t *testing.T, op string, text []byte) {
		if _, q, body, err := open("main", operation(op), text); err == nil {
			require.NotNil(t, q)
			require.LessOrEqual(t, len(body), chunkLen)
		}
	})
}

// A meeting point answers whatever a worker with the token signs.
func FuzzMeeting(f *testing.F) {
	id := hex.EncodeToString(fuzzKey.Public().(ed25519.PublicKey))
	rec := newRecord()
	rec.Parameters, rec.StepTokens, rec.Samples, rec.Total, rec.Agreement = 7, 1, 2, 100, map[string]string{"a": "b"}
	header := func(q request) []byte {
		text, err := json.Marshal(q)
		require.NoError(f, err)
		return text
	}
	f.Add(uint8(0), header(request{Name: "a", Parameters: 7, StepTokens: 1, StepSamples: 2, TotalSteps: 100, Agreement: map[string]string{"a": "b"}}), []byte{})
	f.Add(uint8(1), header(request{}), []byte{})
	f.Add(uint8(2), header(request{Kind: kindWeights, At: 4}), []byte{})
	f.Add(uint8(3), header(request{Kind: kindChange, Bytes: 11, Steps: 10, SHA256: hash(make([]byte, 11))}), []byte{})
	f.Add(uint8(4), header(request{Ticket: "ab"}), make([]byte, 11))
	f.Add(uint8(5), header(request{Steps: 3, Speed: 1e300}), []byte{})
	f.Add(uint8(6), header(request{}), []byte{})
	for op := range uint8(8) {
		f.Add(128+op, header(request{Swarm: rec.ID}), []byte("x"))
	}
	f.Fuzz(func(t *testing.T, which uint8, head, body []byte) {
		r := *rec
		r.Workers = map[string]*known{}
		k, _ := r.meet(id, "old", "card")
		m := &meeting{name: "main", rules: quickRules(), log: func(string) {}, rec: &r, plan: []byte("{}"), outer: newOuter(make([]float32, 7)), members: map[string]*member{}}
		m.members[id] = &member{known: k, key: id, samples: 2}
		if which >= 128 { // nobody has founded the swarm yet
			m.rec, m.plan, m.outer, m.founder = nil, nil, nil, id
		}
		op := operations[int(which)%len(operations)]
		rest := append(append(bytes.ReplaceAll(head, []byte("\n"), nil), '\n'), body[:min(len(body), chunkLen)]...)
		text := append(make([]byte, ed25519.SignatureSize), fuzzKey.Public().(ed25519.PublicKey)...)
		text = append(text, rest...)
		copy(text, ed25519.Sign(fuzzKey, signed("main", op, rest)))
		m.said = map[string]time.Time{}
		_, _, err := readAnswer(m.handle(op, text))
		require.NoError(t, err)
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add((&answer{Round: 3, Parts: []part{{1, 5}}, SHA256: hash(nil)}).encode([]byte("piece")))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, _, err := readAnswer(text)
		if err != nil {
			return
		}
		for _, p := range a.Parts {
			require.LessOrEqual(t, p.First, p.End)
		}
	})
}

// A change that is taken is finite, and what it adds is too.
func FuzzBlocks(f *testing.F) {
	b := make([]byte, blocksLen(5))
	require.NoError(f, encodeBlocks(b, []float32{1, -2, 3, 0, 1e-9}, make([]float32, 5)))
	f.Add(b, uint16(5))
	f.Fuzz(func(t *testing.T, b []byte, n uint16) {
		norm, err := checkBlocks(b, int(n))
		if err != nil {
			return
		}
		require.False(t, math.IsNaN(norm) || math.IsInf(norm, 0))
		v := make([]float32, n)
		addBlocks(v, b, 1)
		for _, x := range v {
			require.True(t, finite32(x))
		}
	})
}

func FuzzPlan(f *testing.F) {
	text, err := (&Plan{Config: []byte("name: x\n"), Tokenizer: map[string][]byte{"tokenizer.json": []byte("{}")}}).encode()
	require.NoError(f, err)
	f.Add(text)
	f.Add([]byte(`{"config":"eA==","tokenizer":{"../x.json":""}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := readPlan(text)
		if err != nil {
			return
		}
		for name := range p.Tokenizer {
			require.Regexp(t, planFile, name)
			require.NotContains(t, name, "/")
		}
	})
}

func FuzzFounding(f *testing.F) {
	plan, err := (&Plan{Config: []byte("name: x\n")}).encode()
	require.NoError(f, err)
	f.Add(encodeFounding(plan, []float32{1, 2, 3}), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, n uint8) {
		_, weights, err := readFounding(b, int64(n))
		if err != nil {
			return
		}
		for _, v := range weights {
			require.True(t, finite32(v))
		}
	})
}

func FuzzRecord(f *testing.F) {
	r := newRecord()
	r.Parameters, r.StepTokens, r.Samples, r.Total = 7, 1, 2, 10
	r.meet("ab", "worker", "card")
	text, err := json.Marshal(r)
	require.NoError(f, err)
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := readRecord(text)
		if err != nil {
			return
		}
		require.LessOrEqual(t, r.Step, r.Total)
		r.meet("cd", "worker", "card")
		_ = r.difference(&request{})
	})
}

func FuzzState(f *testing.F) {
	f.Add(make([]byte, 12*3), uint8(3))
	f.Add(make([]byte, stateLen(3)), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, n uint8) {
		o, _, err := readState(b, int(n))
		if err == nil {
			require.Len(t, o.weights, int(n))
		}
	})
}

func FuzzAddress(f *testing.F) {
	f.Add("nats://host:4222/main")
	f.Add("tls://[::1]#" + hash(nil))
	f.Add("nats://user:pass@host")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAddress(text)
		if err != nil {
			return
		}
		again, err := ParseAddress(a.String())
		require.NoError(t, err, a.String())
		require.Equal(t, a.Name, again.Name)
		require.Equal(t, a.Host, again.Host)
	})
}
