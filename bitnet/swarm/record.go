package swarm

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"bitnet/bitnet/runs"
)

// record is what a meeting point knows, apart from weights; it is the truth about
// the swarm, and is replaced as a whole.
type record struct {
	Version    int               `json:"version"`
	ID         string            `json:"id"`
	Founded    time.Time         `json:"founded"`
	Parameters int64             `json:"parameters"`
	StepTokens int64             `json:"step_tokens"`
	Samples    int64             `json:"step_samples"`
	Total      int64             `json:"total_steps"`
	Agreement  map[string]string `json:"agreement"` // settings that all workers share
	Plan       object            `json:"plan"`
	State      object            `json:"state"` // weights and outer optimizer
	Round      int64             `json:"round"`
	Step       int64             `json:"step"`
	Tokens     int64             `json:"tokens"`
	Parts      parts             `json:"parts"`
	Workers    map[string]*known `json:"workers"` // by public key in hexadecimal
	Rounds     []runs.SwarmRound `json:"rounds,omitempty"`
	Norms      []float64         `json:"norms,omitempty"` // of the last counted changes
}

// object is something stored under a name.
type object struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// known is what is kept of a worker.
type known struct {
	Name     string    `json:"name"`
	Card     string    `json:"card"`
	Joined   time.Time `json:"joined"`
	Seen     time.Time `json:"seen"`
	Seq      uint64    `json:"seq"`
	Rounds   int64     `json:"rounds"`
	Steps    int64     `json:"steps"`
	Last     int64     `json:"last"` // 1 + the last round that it contributed to
	LeftOut  int64     `json:"left_out"`
	Reason   string    `json:"reason,omitempty"` // why the last time
	Sent     int64     `json:"sent"`
	Received int64     `json:"received"`
}

const (
	recordVersion = 1
	mostKnown     = 512 // workers that are remembered
	keptRounds    = 24
	keptNorms     = 64
)

func newRecord() *record {
	var id [8]byte
	_, _ = rand.Read(id[:])
	return &record{Version: recordVersion, ID: hex.EncodeToString(id[:]), Founded: now(), Workers: map[string]*known{}}
}

func now() time.Time { return time.Now().UTC().Truncate(time.Second) }

// readRecord reads a stored record.
func readRecord(text []byte) (*record, error) {
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, errors.New("the stored state of the swarm is not valid JSON")
	}
	switch {
	case r.Version != recordVersion:
		return nil, fmt.Errorf("the stored state of the swarm has version %d, and this bitnet reads %d", r.Version, recordVersion)
	case !hexadecimal.MatchString(r.ID) || r.Parameters < 1 || r.Parameters > maxParams || r.StepTokens < 1 || r.Samples < 1 || r.Samples > maxTokens || r.Total < 1 || r.Total > maxSteps ||
		r.Round < 0 || r.Step < 0 || r.Step > r.Total || r.Tokens < 0 || r.Parts.Next < 0:
		return nil, errors.New("the stored state of the swarm is damaged")
	}
	for _, k := range r.Workers {
		if k == nil {
			return nil, errors.New("the stored state of the swarm is damaged")
		}
	}
	if r.Workers == nil {
		r.Workers = map[string]*known{}
	}
	return &r, nil
}

// finished reports whether all steps are done.
func (r *record) finished() bool { return r.Step >= r.Total }

// meet gives what is kept of a worker, which is new if it was never there. Its name
// is made unique.
func (r *record) meet(key, name, card string) (k *known, isNew bool) {
	if k := r.Workers[key]; k != nil {
		k.Card = card
		return k, false
	}
	if len(r.Workers) >= mostKnown {
		oldest := slices.MinFunc(slices.Collect(maps.Keys(r.Workers)), func(a, b string) int {
			return r.Workers[a].Seen.Compare(r.Workers[b].Seen)
		})
		delete(r.Workers, oldest)
	}
	taken := func(n string) bool {
		for _, k := range r.Workers {
			if k.Name == n {
				return true
			}
		}
		return false
	}
	unique := name
	for i := 2; taken(unique); i++ {
		unique = fmt.Sprintf("%s-%d", name, i)
	}
	k = &known{Name: unique, Card: card, Joined: now(), Seen: now()}
	r.Workers[key] = k
	return k, true
}

// difference is the first setting in which a worker differs, in words; "" if all
// are the same.
func (r *record) difference(q *request) string {
	for _, key := range slices.Sorted(maps.Keys(r.Agreement)) {
		if mine, ok := q.Agreement[key]; !ok || mine != r.Agreement[key] {
			if mine == "" {
				mine = "nothing"
			}
			return fmt.Sprintf("%s is %s here and %s in the swarm", key, mine, r.Agreement[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(q.Agreement)) {
		if _, ok := r.Agreement[key]; !ok {
			return fmt.Sprintf("%s is %s here, and the swarm does not have it", key, q.Agreement[key])
		}
	}
	switch {
	case q.Parameters != r.Parameters:
		return fmt.Sprintf("the model has %d parameters here and %d in the swarm", q.Parameters, r.Parameters)
	case q.StepTokens != r.StepTokens:
		return fmt.Sprintf("a step has %d tokens here and %d in the swarm", q.StepTokens, r.StepTokens)
	case q.StepSamples != r.Samples:
		return fmt.Sprintf("a step takes %d samples of the data here and %d in the swarm", q.StepSamples, r.Samples)
	case q.TotalSteps != r.Total:
		return fmt.Sprintf("the schedule has %d steps here and %d in the swarm", q.TotalSteps, r.Total)
	}
	return ""
}
