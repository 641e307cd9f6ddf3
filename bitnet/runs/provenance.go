package runs

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"bitnet/data/atomicfile"
	"bitnet/data/printable"
)

// Provenance is provenance.json: what a run was made of and with.
type Provenance struct {
	Started     time.Time `json:"started"`
	Command     []string  `json:"command"`
	Go          string    `json:"go"` // version
	OS          string    `json:"os"`
	Arch        string    `json:"arch"`
	Revision    string    `json:"vcs.revision,omitempty"`
	Modified    string    `json:"vcs.modified,omitempty"` // "true" if the program was built from changed files
	WebGPU      string    `json:"webgpu,omitempty"`       // version
	Seed        uint64    `json:"seed"`
	Device      string    `json:"device"`
	Driver      string    `json:"driver"`
	Backend     string    `json:"backend"`
	Parameters  int64     `json:"parameters"`
	Init        string    `json:"init,omitempty"`           // the model whose weights the run began with
	FirstTokens string    `json:"first_1000_tokens_sha256"` // as little-endian uint32
	Ranks       []Rank    `json:"ranks,omitempty"`          // of a run that several processes began together
}

// Rank is one of the processes that share a run.
type Rank struct {
	Host    string `json:"host"`
	Device  string `json:"device"`
	Driver  string `json:"driver"`
	Backend string `json:"backend"`
}

func (r *Run) provenancePath() string { return filepath.Join(r.Dir, "provenance.json") }

// Provenance reads provenance.json.
func (r *Run) Provenance() (Provenance, error) {
	var p Provenance
	text, err := readSmall(r.provenancePath())
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		return Provenance{}, fmt.Errorf("reading where the run %s comes from: %w", printable.String(r.Dir), err)
	}
	return p, nil
}

// WriteProvenance writes provenance.json.
func (r *Run) WriteProvenance(p Provenance) error {
	text, err := json.MarshalIndent(p, "", "  ")
	if err == nil {
		err = atomicfile.Write(r.provenancePath(), append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("writing where the run comes from: %w", err)
	}
	return nil
}
