package runs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"bitnet/data/atomicfile"
)

// Swarm is what a meeting point says of the machines that train one model over
// slow links. A worker keeps the newest in its run directory as swarm.json.
type Swarm struct {
	Name       string        `json:"name"`
	ID         string        `json:"id"` // random, chosen when the swarm was founded; "" before
	Phase      SwarmPhase    `json:"phase"`
	Round      int64         `json:"round"` // the one that is being trained
	Step       int64         `json:"step"`  // finished steps on the schedule
	Steps      int64         `json:"steps"`
	Tokens     int64         `json:"tokens"` // trained on by all workers
	LocalSteps int           `json:"local_steps"`
	Parameters int64         `json:"parameters"`
	At         time.Time     `json:"at"`
	Me         string        `json:"me,omitempty"` // the worker whose run directory this is
	Workers    []SwarmWorker `json:"workers"`
	Rounds     []SwarmRound  `json:"rounds,omitempty"` // the last ones, the newest last
}

// SwarmPhase is what a swarm is doing.
type SwarmPhase string

const (
	SwarmEmpty      SwarmPhase = "waiting for a first worker"
	SwarmTraining   SwarmPhase = "training"
	SwarmExchanging SwarmPhase = "exchanging"
	SwarmFinished   SwarmPhase = "finished"
)

// SwarmWorker is a machine that trains or has trained for a swarm.
type SwarmWorker struct {
	Name         string    `json:"name"`
	Key          string    `json:"key"` // the beginning of its public key
	Card         string    `json:"card"`
	Here         bool      `json:"here"`
	Joined       time.Time `json:"joined"`
	Seen         time.Time `json:"seen"`
	Now          int       `json:"now"` // local steps in this round so far
	TokensPerSec float64   `json:"speed"`
	Rounds       int64     `json:"rounds"` // that it contributed to
	Steps        int64     `json:"steps"`  // local steps that were counted
	Tokens       int64     `json:"tokens"`
	LeftOut      int64     `json:"left_out"` // rounds that ended without it
	Reason       string    `json:"reason,omitempty"`
	Sent         int64     `json:"sent"` // bytes of contributions
	Received     int64     `json:"received"`
}

// SwarmRound is a finished round.
type SwarmRound struct {
	Round   int64     `json:"round"`
	Step    int64     `json:"step"` // after it
	At      time.Time `json:"at"`
	Seconds float64   `json:"seconds"`
	Workers int       `json:"workers"` // that contributed
	Steps   int64     `json:"steps"`   // their local steps together
	Loss    Number    `json:"loss"`    // mean of their training losses, weighted by steps
	Change  float64   `json:"change"`  // norm of the outer update
	LeftOut []string  `json:"left_out,omitempty"`
}

// SwarmPath is where the newest state of a run's swarm is kept.
func (r *Run) SwarmPath() string { return filepath.Join(r.Dir, "swarm.json") }

// SwarmKeyPath is where a worker keeps the key that it signs with.
func (r *Run) SwarmKeyPath() string { return filepath.Join(r.Dir, "swarm.key") }

// WriteSwarm keeps the state of a run's swarm.
func (r *Run) WriteSwarm(s *Swarm) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = atomicfile.Write(r.SwarmPath(), append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("writing the state of the swarm: %w", err)
	}
	return nil
}

// Swarm reads the state of a run's swarm; nil if the run trains alone.
func (r *Run) Swarm() (*Swarm, error) {
	text, err := readSmall(r.SwarmPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var s Swarm
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", r.SwarmPath(), err)
	}
	if s.Workers == nil {
		s.Workers = []SwarmWorker{}
	}
	return &s, nil
}
