package shard

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"

	"bitnet/data/atomicfile"
	"bitnet/data/plainfile"
)

// Manifest says what a folder of shards is made of and how far it is. It is
// replaced as a whole whenever a shard is finished.
type Manifest struct {
	Plan
	Shards   []Entry `json:"shards"`
	Complete bool    `json:"complete"` // all inputs are read; no shard will follow
}

// Plan decides, together with the content of the inputs, every byte of the
// shards.
type Plan struct {
	Version     int     `json:"version"`
	Tokenizer   string  `json:"tokenizer"` // its hash
	Vocab       int     `json:"vocab"`
	BOS         *uint32 `json:"bos,omitempty"` // put before each document
	EOS         *uint32 `json:"eos,omitempty"` // put after each document
	ShardIDs    int64   `json:"shard_ids"`     // a shard is finished when it has this many
	HeldOut     float64 `json:"held_out"`      // share of documents wanted for validation
	Threshold   string  `json:"threshold"`     // documents whose hash is lower are for validation; 16 hex digits
	Field       string  `json:"field,omitempty"`
	Split       string  `json:"split,omitempty"`
	MaxDocument int     `json:"max_document,omitempty"`
	Inputs      []Named `json:"inputs"`
}

// Named identifies an input.
type Named struct {
	Name    string `json:"name"`
	Size    int64  `json:"size"`
	Version string `json:"version,omitempty"` // the hub's hash, or when a local file was changed
}

// Entry is a finished shard.
type Entry struct {
	Train File   `json:"train"`
	Val   File   `json:"val"`
	Text  int64  `json:"text_bytes"` // of the documents in it
	End   Cursor `json:"end"`
}

// File is one file of a shard; a file without ids is not written.
type File struct {
	Name      string `json:"name,omitempty"`
	IDs       int64  `json:"ids"`
	Documents int64  `json:"documents"`
}

// Cursor is the place in the inputs where the next shard begins.
type Cursor struct {
	Input int   `json:"input"`
	Index int64 `json:"index"` // of the document in it
	Read  int64 `json:"read"`  // bytes of it, about
}

const (
	manifestName = "manifest.json"
	maxManifest  = 256 << 20 // bytes
)

// ReadManifest reads the manifest of a folder of shards.
func ReadManifest(dir string) (*Manifest, error) {
	file := filepath.Join(dir, manifestName)
	b, err := plainfile.Read(file, maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s holds no token shards (%w); make them with bitnet data prepare", dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	m := new(Manifest)
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("reading %s: it is not a manifest of token shards; prepare the data again with --fresh", file)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("reading %s: %w; prepare the data again with --fresh", file, err)
	}
	return m, nil
}

func (m *Manifest) check() error {
	if m.Version != version {
		return fmt.Errorf("it has version %d, and this program reads version %d", m.Version, version)
	}
	if m.Vocab < 1 || int64(m.Vocab) > 1<<32-1 {
		return fmt.Errorf("it has a vocabulary of %d", m.Vocab)
	}
	if len(m.Inputs) == 0 {
		return errors.New("it lists no inputs")
	}
	for i, e := range m.Shards {
		for _, f := range []File{e.Train, e.Val} {
			if f.IDs < 0 || f.Documents < 0 || f.Name != "" && (filepath.Base(f.Name) != f.Name || !filepath.IsLocal(f.Name)) || f.Name == "" && f.IDs > 0 {
				return fmt.Errorf("shard %d is %q with %d ids in %d documents", i, f.Name, f.IDs, f.Documents)
			}
		}
		if e.End.Input < 0 || e.End.Input > len(m.Inputs) || e.End.Index < 0 {
			return fmt.Errorf("shard %d ends at document %d of input %d", i, e.End.Index, e.End.Input)
		}
	}
	return nil
}

// ID names the data: two folders with the same ID hold the same ids in the same
// order, as far as the names (without folders) and sizes of their inputs tell. It
// is known before the first shard is made.
func (p *Plan) ID() string {
	q := *p
	q.Inputs = append([]Named(nil), p.Inputs...)
	for i := range q.Inputs {
		q.Inputs[i].Name, q.Inputs[i].Version = path.Base(q.Inputs[i].Name), ""
	}
	b, err := json.Marshal(q)
	if err != nil {
		return "" // not with these types
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Totals adds up the finished shards.
func (m *Manifest) Totals() (train, val File, text int64) {
	for _, e := range m.Shards {
		train.IDs += e.Train.IDs
		train.Documents += e.Train.Documents
		val.IDs += e.Val.IDs
		val.Documents += e.Val.Documents
		text += e.Text
	}
	return train, val, text
}

func (m *Manifest) end() Cursor {
	if len(m.Shards) == 0 {
		return Cursor{}
	}
	return m.Shards[len(m.Shards)-1].End
}

// write puts the manifest in its place.
func (m *Manifest) write(dir string) error {
	b, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	file := filepath.Join(dir, manifestName)
	if err := atomicfile.Write(file, append(b, '\n')); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return nil
}
