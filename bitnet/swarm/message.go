package swarm

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"unicode/utf8"

	"bitnet/bitnet/runs"
	"bitnet/data/printable"
)

// A request is a NATS message on subject(name, op), and so is its answer:
//
//	request: signature [64] key [32] header '\n' body
//	answer:                          header '\n' body
//
// The header is one line of JSON. The Ed25519 signature covers the name of the
// swarm, the operation, the header and the body.
const (
	maxRequestHeader = 64 << 10
	maxAnswerHeader  = 512 << 10
	chunkLen         = 256 << 10 // of the body: changes, weights and plans travel in such pieces
	maxRequest       = ed25519.SignatureSize + ed25519.PublicKeySize + maxRequestHeader + 1 + chunkLen
	maxAnswer        = maxAnswerHeader + 1 + chunkLen
)

// protocol begins what is signed; another version of the protocol has another.
const protocol = "bitnet swarm 1"

// operation is what a request asks for.
type operation string

const (
	opJoin   operation = "join"   // take part, or found the swarm
	opRound  operation = "round"  // what to train now
	opGet    operation = "get"    // a piece of the weights, of the last change or of the plan
	opOpen   operation = "open"   // announce what is sent
	opChunk  operation = "chunk"  // a piece of it
	opBeat   operation = "beat"   // a sign of life with the local steps so far
	opLeave  operation = "leave"  // the worker stops
	opStatus operation = "status" // who is there
)

var operations = []operation{opJoin, opRound, opGet, opOpen, opChunk, opBeat, opLeave, opStatus}

// What is sent in pieces.
const (
	kindPlan     = "plan"     // configuration and tokenizer
	kindWeights  = "weights"  // float32, little-endian
	kindChange   = "change"   // int8 by block
	kindFounding = "founding" // the plan and the first weights, from the first worker
)

// request is the header of a request. Which fields count depends on the operation.
type request struct {
	Swarm string `json:"swarm,omitempty"` // ID, of all but the first requests
	Seq   uint64 `json:"seq"`             // rises from request to request of one key: nothing can be replayed
	Round int64  `json:"round,omitempty"`

	Name        string            `json:"name,omitempty"` // join
	Card        string            `json:"card,omitempty"`
	Agreement   map[string]string `json:"agreement,omitempty"`
	Parameters  int64             `json:"parameters,omitempty"`
	StepTokens  int64             `json:"step_tokens,omitempty"`  // that a local step trains on
	StepSamples int64             `json:"step_samples,omitempty"` // samples that it takes from the data
	TotalSteps  int64             `json:"total_steps,omitempty"`  // of the schedule
	Step        int64             `json:"step,omitempty"`         // founding: where the schedule stands

	Kind   string  `json:"kind,omitempty"` // get, open
	Bytes  int64   `json:"bytes,omitempty"`
	At     int64   `json:"at,omitempty"` // get, chunk
	SHA256 string  `json:"sha256,omitempty"`
	Loss   float64 `json:"loss,omitempty"` // open: mean of the local steps
	Ticket string  `json:"ticket,omitempty"`

	Steps int     `json:"steps,omitempty"` // open, beat: local steps of this round
	Speed float64 `json:"speed,omitempty"` // beat: tokens per second
}

// answer is the header of an answer.
type answer struct {
	Error string `json:"error,omitempty"`
	Code  code   `json:"code,omitempty"` // what a worker does about the error

	Seq     uint64      `json:"seq,omitempty"` // of an error: the number that the next request must exceed
	Swarm   string      `json:"swarm,omitempty"`
	Name    string      `json:"name,omitempty"`  // join: of the worker, made unique
	Found   bool        `json:"found,omitempty"` // join: the swarm is empty: send plan and weights
	Wait    string      `json:"wait,omitempty"`  // join: ask again, for this reason
	Round   int64       `json:"round,omitempty"`
	Step    int64       `json:"step,omitempty"`
	Total   int64       `json:"total,omitempty"`
	Local   int         `json:"local,omitempty"` // most local steps of the round
	Tokens  int64       `json:"tokens,omitempty"`
	Parts   []part      `json:"parts,omitempty"`
	SHA256  string      `json:"sha256,omitempty"` // of the weights, or of the plan
	Changed bool        `json:"changed,omitempty"`
	Counted bool        `json:"counted,omitempty"` // the worker's change is in the last round
	Closing bool        `json:"closing,omitempty"` // send what you have
	Held    bool        `json:"held,omitempty"`    // the worker's change of this round has arrived
	Ticket  string      `json:"ticket,omitempty"`
	Bytes   int64       `json:"bytes,omitempty"`
	Status  *runs.Swarm `json:"status,omitempty"`
}

// code says what a worker does about an error.
type code string

const (
	codeRefused code = "refused" // give up: the user has to change something
	codeUnknown code = "unknown" // join again
	codeOver    code = "over"    // take the weights of the new round
	codeAgain   code = "again"   // send it again from the beginning
)

// seal writes a signed request.
func seal(key ed25519.PrivateKey, name string, op operation, r *request, body []byte) ([]byte, error) {
	header, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	if len(header) > maxRequestHeader || len(body) > chunkLen {
		return nil, fmt.Errorf("a %s of %d bytes and %d bytes of content is too long for one message", op, len(header), len(body))
	}
	text := make([]byte, ed25519.SignatureSize, ed25519.SignatureSize+ed25519.PublicKeySize+len(header)+1+len(body))
	text = append(text, key.Public().(ed25519.PublicKey)...)
	text = append(text, header...)
	text = append(append(text, '\n'), body...)
	copy(text, ed25519.Sign(key, signed(name, op, text[ed25519.SignatureSize+ed25519.PublicKeySize:])))
	return text, nil
}

// signed is what the signature of a request covers.
func signed(name string, op operation, rest []byte) []byte {
	return append([]byte(protocol+"\x00"+name+"\x00"+string(op)+"\x00"), rest...)
}

// open reads a request and checks its signature and its values.
func open(name string, op operation, text []byte) (key ed25519.PublicKey, r *request, body []byte, err error) {
	const head = ed25519.SignatureSize + ed25519.PublicKeySize
	if len(text) > maxRequest {
		return nil, nil, nil, fmt.Errorf("the message has %d bytes: at most %d are read", len(text), maxRequest)
	}
	if len(text) < head {
		return nil, nil, nil, errors.New("the message is too short for a signature")
	}
	key, rest := ed25519.PublicKey(text[ed25519.SignatureSize:head]), text[head:]
	if !ed25519.Verify(key, signed(name, op, rest), text[:ed25519.SignatureSize]) {
		return nil, nil, nil, errors.New("the signature is wrong")
	}
	r = &request{}
	if body, err = split(rest, maxRequestHeader, r); err != nil {
		return key, nil, nil, err
	}
	if len(body) > chunkLen {
		return key, nil, nil, fmt.Errorf("the message carries %d bytes: at most %d are taken", len(body), chunkLen)
	}
	return key, r, body, r.check(op)
}

// split decodes a header of at most limit bytes, and gives what follows it.
func split(text []byte, limit int, header any) (body []byte, err error) {
	end := bytes.IndexByte(text[:min(len(text), limit+1)], '\n')
	if end < 0 {
		return nil, errors.New("the message has no header")
	}
	if err := json.Unmarshal(text[:end], header); err != nil {
		return nil, errors.New("the header of the message is not valid JSON")
	}
	return text[end+1:], nil
}

// encode writes an answer.
func (a *answer) encode(body []byte) []byte {
	header, err := json.Marshal(a)
	if err == nil && len(header) > maxAnswerHeader {
		err = fmt.Errorf("the answer has %d bytes", len(header))
	}
	if err != nil {
		header, body = []byte(`{"error":"the answer cannot be sent"}`), nil
	}
	return append(append(header, '\n'), body...)
}

// readAnswer reads an answer.
func readAnswer(text []byte) (a *answer, body []byte, err error) {
	if len(text) > maxAnswer {
		return nil, nil, fmt.Errorf("the answer has %d bytes: at most %d are read", len(text), maxAnswer)
	}
	a = &answer{}
	if body, err = split(text, maxAnswerHeader, a); err != nil {
		return nil, nil, err
	}
	return a, body, a.check()
}

const (
	maxName      = 64
	maxCard      = 128
	maxAgreement = 256     // keys
	maxSteps     = 1 << 40 // of a schedule
	maxLocal     = 1 << 20 // local steps of a round
	maxTokens    = 1 << 27 // of a step, and samples
	maxParams    = 1 << 36
	maxParts     = 4096
)

var (
	hexadecimal = regexp.MustCompile(`^[0-9a-f]{1,64}$`)
	swarmName   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	hostName    = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]{0,253})$`)
)

// check says what is wrong with the values of a request.
func (r *request) check(op operation) error {
	if r.Swarm != "" && !hexadecimal.MatchString(r.Swarm) || r.Ticket != "" && !hexadecimal.MatchString(r.Ticket) ||
		r.SHA256 != "" && (!hexadecimal.MatchString(r.SHA256) || len(r.SHA256) != 64) {
		return errors.New("an identifier of the message is not hexadecimal")
	}
	for _, v := range []struct {
		name string
		v    int64
		most int64
	}{
		{"round", r.Round, math.MaxInt64}, {"parameters", r.Parameters, maxParams}, {"step_tokens", r.StepTokens, maxTokens},
		{"step_samples", r.StepSamples, maxTokens}, {"total_steps", r.TotalSteps, maxSteps}, {"step", r.Step, maxSteps},
		{"bytes", r.Bytes, math.MaxInt64}, {"at", r.At, math.MaxInt64}, {"steps", int64(r.Steps), maxLocal},
	} {
		if v.v < 0 || v.v > v.most {
			return fmt.Errorf("%s is %d: that is out of range", v.name, v.v)
		}
	}
	if op != opJoin {
		return nil
	}
	switch {
	case r.Parameters < 1 || r.StepTokens < 1 || r.StepSamples < 1 || r.TotalSteps < 1:
		return errors.New("the worker describes no model")
	case !plain(r.Name, maxName) || r.Name == "":
		return errors.New("the name of the worker is not plain text of at most 64 bytes")
	case !plain(r.Card, maxCard):
		return errors.New("the card of the worker is not plain text of at most 128 bytes")
	case len(r.Agreement) > maxAgreement:
		return errors.New("the worker describes too many settings")
	}
	return nil
}

// check says what is wrong with the values of an answer.
func (a *answer) check() error {
	if a.Round < 0 || a.Step < 0 || a.Total < 0 || a.Total > maxSteps || a.Step > maxSteps || a.Local < 0 || a.Local > maxLocal || a.Tokens < 0 || a.Bytes < 0 {
		return errors.New("a number of the answer is out of range")
	}
	if a.Swarm != "" && !hexadecimal.MatchString(a.Swarm) || a.SHA256 != "" && len(a.SHA256) != 64 {
		return errors.New("an identifier of the answer is not hexadecimal")
	}
	if len(a.Parts) > maxParts {
		return errors.New("the answer gives too many parts of the data")
	}
	for _, p := range a.Parts {
		if p.First < 0 || p.End < p.First {
			return errors.New("the answer gives a part of the data that does not exist")
		}
	}
	return nil
}

// plain reports whether text can be printed as it is and is short enough.
func plain(text string, most int) bool {
	return len(text) <= most && utf8.ValidString(text) && printable.String(text) == text
}
