package swarm

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math"
)

// upload is what a worker is sending.
type upload struct {
	ticket string
	kind   string
	size   int64
	sha    string
	steps  int
	loss   float64
	model  *request // of a founding
	have   []byte   // so far: memory grows with what has really come
}

// contribution is a worker's change that has arrived and been checked.
type contribution struct {
	share
	loss, norm float64
}

// open takes the announcement of an upload; what cannot be right is refused before
// any of it is read.
func (m *meeting) open(id string, q *request) []byte {
	w := m.members[id]
	if w == nil {
		return m.refuse(codeUnknown, "the meeting point does not know this worker (any more)")
	}
	refuse := func(c code, why string) []byte {
		w.upload = nil
		if c == codeRefused {
			w.refused = why
			m.complainOf(w, why)
		}
		return m.refuse(c, why)
	}
	if len(q.SHA256) != 64 {
		return refuse(codeRefused, "it announced a change without a hash")
	}
	var size int64
	switch {
	case q.Kind == kindFounding && m.rec == nil && id == m.founder:
		if q.Parameters < 1 || q.Parameters > m.rules.MostParameter || q.StepTokens < 1 || q.StepSamples < 1 || q.TotalSteps < 1 {
			return refuse(codeRefused, "it announced a model that the swarm does not take")
		}
		if extra := q.Bytes - 4 - 4*q.Parameters; extra < 1 || extra > maxPlan {
			return refuse(codeRefused, fmt.Sprintf("it announced %d bytes for a model of %d parameters", q.Bytes, q.Parameters))
		}
		size = q.Bytes
	case m.rec == nil:
		return refuse(codeUnknown, "the swarm is not founded yet")
	case q.Kind == kindFounding:
		return refuse(codeUnknown, "the swarm is founded already")
	case q.Kind != kindChange:
		return refuse(codeRefused, "it announced something that is not taken")
	case q.Round != m.rec.Round:
		m.complainOf(w, fmt.Sprintf("it sent a change of round %d in round %d", q.Round, m.rec.Round))
		return refuse(codeOver, fmt.Sprintf("round %d is over", q.Round))
	case m.rec.finished():
		return refuse(codeOver, "all steps are done")
	case w.got != nil:
		return (&answer{Held: true}).encode(nil)
	default:
		size = int64(blocksLen(int(m.rec.Parameters)))
		if q.Bytes != size {
			return refuse(codeRefused, fmt.Sprintf("it announced a change of %d bytes, and one of this model has %d", q.Bytes, size))
		}
		if q.Steps < 1 || q.Steps > m.local() {
			return refuse(codeRefused, fmt.Sprintf("it claims %d local steps, and the round has %d", q.Steps, m.local()))
		}
	}
	var ticket [8]byte
	_, _ = rand.Read(ticket[:])
	w.upload = &upload{ticket: hex.EncodeToString(ticket[:]), kind: q.Kind, size: size, sha: q.SHA256, steps: q.Steps, loss: q.Loss, model: q}
	w.began, w.now = q.Round, q.Steps
	if q.Kind == kindChange && q.Steps == m.local() {
		m.close()
	}
	return (&answer{Ticket: w.upload.ticket}).encode(nil)
}

func (m *meeting) complainOf(w *member, what string) {
	key, _ := hex.DecodeString(w.key)
	m.complain(key, what)
}

// chunk takes a piece of an upload. Its answer says how much has come without a
// gap: pieces after a gap are not kept.
func (m *meeting) chunk(id string, q *request, body []byte) []byte {
	w := m.members[id]
	if w == nil {
		return m.refuse(codeUnknown, "the meeting point does not know this worker (any more)")
	}
	u := w.upload
	if u == nil || u.ticket != q.Ticket {
		if w.got != nil {
			return (&answer{Held: true}).encode(nil)
		}
		return m.refuse(codeAgain, "the meeting point knows nothing of what is sent")
	}
	have := int64(len(u.have))
	if q.At != have || int64(len(body)) > u.size-have {
		return (&answer{Bytes: have}).encode(nil)
	}
	u.have = append(u.have, body...)
	if m.rec != nil {
		w.Sent += int64(len(body))
	}
	if int64(len(u.have)) < u.size {
		return (&answer{Bytes: int64(len(u.have))}).encode(nil)
	}
	w.upload = nil
	if hash(u.have) != u.sha {
		return m.refuse(codeAgain, "what was sent was damaged on its way")
	}
	if u.kind == kindFounding {
		if err := m.found(u); err != nil {
			m.complainOf(w, err.Error())
			return m.refuse(codeRefused, err.Error())
		}
		return (&answer{Held: true}).encode(nil)
	}
	norm, err := checkBlocks(u.have, int(m.rec.Parameters))
	if err == nil && !(norm < mostNorm) {
		err = fmt.Errorf("the change has a norm of %.3g", norm)
	}
	if err == nil && (math.IsNaN(u.loss) || math.IsInf(u.loss, 0)) {
		err = fmt.Errorf("the loss is not finite")
	}
	if err != nil {
		w.refused = err.Error()
		m.complainOf(w, err.Error())
		return m.refuse(codeRefused, err.Error())
	}
	w.got = &contribution{share{u.steps, u.have}, u.loss, norm}
	return (&answer{Held: true}).encode(nil)
}
