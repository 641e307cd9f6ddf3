package runs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bitnet/data"
	"bitnet/data/atomicfile"
)

// State is state.json of a checkpoint: where training is, and what the
// checkpoint's files are.
type State struct {
	Format     int           `json:"format"`
	Step       int64         `json:"step"` // finished steps
	TokensSeen int64         `json:"tokens_seen"`
	Position   data.Position `json:"data_position"`
	Seed       uint64        `json:"seed"`
	// Skipped are the step's worth of batches that rollbacks leave out, counted
	// from 0 over all that the data source gave; ascending.
	Skipped   []int64 `json:"skipped_batches,omitempty"`
	Rollbacks int     `json:"rollbacks,omitempty"`
	// Absent are the steps of the schedule that others of a swarm made without
	// this run: its optimizer was updated Step - Absent times.
	Absent int64 `json:"absent,omitempty"`
	// Teacher is the hash of the weights of the teacher; "" without one.
	Teacher string `json:"teacher,omitempty"`
	Recent  Recent `json:"recent"`
	Noise   *Noise `json:"gradient_noise,omitempty"` // of runs that measure it
	// Files are the other files of the directory, to tell a damaged
	// checkpoint from a whole one.
	Files map[string]FileSum `json:"files"`
	// Sum is the SHA-256 of the state's compact JSON without it; "" in
	// checkpoints of earlier versions.
	Sum string `json:"sha256,omitempty"`
}

// Recent are the losses and gradient norms of the last steps that were finite, and with
// a teacher the divergences from it, the oldest first. A resumed run judges its steps by them as one that was not
// interrupted.
type Recent struct {
	Loss       []float32 `json:"loss"`
	Norm       []float32 `json:"grad_norm"`
	Divergence []float32 `json:"divergence,omitempty"`
}

// RecentSteps is how many steps Recent holds at most.
const RecentSteps = 128

// Noise is what a run has found of its gradients' noise: running means over
// measurements.
type Noise struct {
	Count  int64   `json:"count"`          // of measurements
	Signal float64 `json:"signal"`         // |G|^2 of the gradient G over all data
	Square float64 `json:"signal_squared"` // of the single estimates of Signal, for its error
	Spread float64 `json:"noise"`          // the variance of a token's gradient, summed over all parameters
}

// FileSum is a file's size in bytes and SHA-256.
type FileSum struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

const (
	stateName   = "state.json"
	stateFormat = 1
)

// sum is what State.Sum has to be.
func (s State) sum() (string, error) {
	s.Sum = ""
	text, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// parseState reads state.json. It must be what this program writes, key by key,
// so that a damaged or edited file is never taken for another state.
func parseState(text []byte) (State, error) {
	var s State
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, fmt.Errorf("%s cannot be read: %s", stateName, plainJSON(err))
	}
	if s.Format != stateFormat {
		return s, fmt.Errorf("%s has format %d, this program reads %d", stateName, s.Format, stateFormat)
	}
	// Decoding lets keys be missing, repeated or of other case.
	var got bytes.Buffer
	want, err := json.Marshal(s)
	if err == nil {
		err = json.Compact(&got, text)
	}
	if err != nil || !bytes.Equal(bytes.TrimSpace(got.Bytes()), want) {
		return s, fmt.Errorf("%s has missing, repeated or renamed keys", stateName)
	}
	if s.Sum != "" {
		if sum, err := s.sum(); err != nil || sum != s.Sum {
			return s, fmt.Errorf("%s does not match its own checksum", stateName)
		}
	}
	switch n := len(s.Recent.Loss); {
	case s.Noise != nil && s.Noise.Count < 0:
		return s, fmt.Errorf("%s has a negative count", stateName)
	case s.Step < 0 || s.TokensSeen < 0 || s.Position.Epoch < 0 || s.Position.Offset < 0 || s.Rollbacks < 0:
		return s, fmt.Errorf("%s has a negative count", stateName)
	case n != len(s.Recent.Norm) || n > RecentSteps:
		return s, fmt.Errorf("%s has %d recent losses and %d gradient norms: there must be as many of both, at most %d", stateName, n, len(s.Recent.Norm), RecentSteps)
	case len(s.Recent.Divergence) != 0 && len(s.Recent.Divergence) != n:
		return s, fmt.Errorf("%s has %d recent losses and %d divergences: there must be as many of both, or no divergences", stateName, n, len(s.Recent.Divergence))
	case !slices.IsSorted(s.Skipped):
		return s, fmt.Errorf("%s has skipped batches out of order", stateName)
	}
	for name := range s.Files {
		if name != filepath.Base(name) || name == ".." || name == "." || name == stateName {
			return s, fmt.Errorf("%s lists %q, which is not a file name", stateName, name)
		}
	}
	return s, nil
}

// plainJSON is what is wrong with a JSON text, without the names of Go types.
func plainJSON(err error) string {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("it is not valid JSON at byte %d", syntax.Offset)
	case errors.As(err, &kind):
		return fmt.Sprintf("%s cannot be a %s", kind.Field, kind.Value)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends too early"
	}
	return string(bytes.TrimPrefix([]byte(err.Error()), []byte("json: ")))
}

// readStateFile reads a checkpoint's state.json alone.
func readStateFile(dir string) (State, error) {
	text, err := readSmall(filepath.Join(dir, stateName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return State{}, fmt.Errorf("%s is not a checkpoint: it has no %s", dir, stateName)
	case err != nil:
		return State{}, fmt.Errorf("reading the checkpoint: %w", err)
	}
	s, err := parseState(text)
	if err != nil {
		return State{}, fmt.Errorf("%s is damaged: %w: use an earlier checkpoint", dir, err)
	}
	if step := CheckpointStep(dir); step >= 0 && step != s.Step {
		return State{}, fmt.Errorf("%s is damaged: its %s is of step %d: use an earlier checkpoint", dir, stateName, s.Step)
	}
	return s, nil
}

// ReadState reads a checkpoint and verifies it: the files that it lists, and
// need among them, must have their sizes and checksums. Names in need that are joined
// by | are alternatives.
func ReadState(dir string, need ...string) (State, error) {
	s, err := readStateFile(dir)
	if err != nil {
		return State{}, err
	}
	for _, name := range need {
		if !slices.ContainsFunc(strings.Split(name, "|"), func(name string) bool { _, ok := s.Files[name]; return ok }) {
			name, _, _ = strings.Cut(name, "|")
			return State{}, fmt.Errorf("%s: %s does not list %s", dir, stateName, name)
		}
	}
	for name, want := range s.Files {
		got, err := sumFile(filepath.Join(dir, name), false)
		if err != nil {
			return State{}, fmt.Errorf("%s is damaged: %w", dir, err)
		}
		if got != want {
			return State{}, fmt.Errorf("%s is damaged: %s has %d bytes and SHA-256 %.12s, not %d and %.12s; use an earlier checkpoint",
				dir, name, got.Size, got.SHA256, want.Size, want.SHA256)
		}
	}
	return s, nil
}

// sumFile sums a file, and syncs it first if asked to.
func sumFile(path string, sync bool) (FileSum, error) {
	mode := os.O_RDONLY
	if sync {
		mode = os.O_RDWR // Windows syncs no file that is open for reading alone
	}
	f, err := os.OpenFile(path, mode, 0)
	if err != nil {
		return FileSum{}, err
	}
	defer f.Close()
	if sync {
		if err := f.Sync(); err != nil {
			return FileSum{}, err
		}
	}
	h := sha256.New()
	n, err := io.Copy(h, f)
	return FileSum{n, hex.EncodeToString(h.Sum(nil))}, err
}

// syncDir is atomicfile.SyncDir, which a test replaces.
var syncDir = atomicfile.SyncDir

// WriteCheckpoint writes a checkpoint directory. write puts the checkpoint's
// files into a temporary folder; then the state follows with their checksums,
// everything is synced, and the folder is renamed: dir is always whole or
// absent. A checkpoint that dir was before is replaced.
func WriteCheckpoint(dir string, s State, write func(tmp string) error) (err error) {
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("writing a checkpoint: %w", err)
	}
	tmp, err := os.MkdirTemp(parent, writing)
	if err != nil {
		return fmt.Errorf("writing a checkpoint: %w", err)
	}
	defer func() {
		if err != nil {
			atomicfile.RemoveAll(tmp)
			err = fmt.Errorf("writing checkpoint %s: %w; free some space or choose another --runs-dir", dir, err)
		}
	}()
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := write(tmp); err != nil {
		return err
	}
	entries, err := os.ReadDir(tmp)
	if err != nil {
		return err
	}
	s.Format, s.Files = stateFormat, map[string]FileSum{}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			return fmt.Errorf("%s is not a file", e.Name())
		}
		if s.Files[e.Name()], err = sumFile(filepath.Join(tmp, e.Name()), true); err != nil {
			return err
		}
	}
	if s.Sum, err = s.sum(); err != nil {
		return err
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if _, err := parseState(text); err != nil {
		return err // it could not be resumed
	}
	if err := atomicfile.Write(filepath.Join(tmp, stateName), append(text, '\n')); err != nil {
		return err
	}
	if err := syncDir(tmp); err != nil {
		return err
	}
	// A checkpoint that exists moves aside first: after a kill in between,
	// Sweep moves it back.
	old := filepath.Join(parent, replaced+filepath.Base(dir))
	if err := atomicfile.RemoveAll(old); err != nil {
		return err
	}
	if err := atomicfile.Rename(dir, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := atomicfile.Rename(tmp, dir); err != nil {
		if back := atomicfile.Rename(old, dir); back != nil && !errors.Is(back, fs.ErrNotExist) {
			err = errors.Join(err, back)
		}
		return err
	}
	if err := syncDir(parent); err != nil {
		return err
	}
	return atomicfile.RemoveAll(old)
}
