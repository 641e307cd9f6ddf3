package bitnet

import (
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

	"bitnet/bitnet/runs"
	"bitnet/bitnet/safetensors"
	"bitnet/data"
	"bitnet/data/atomicfile"
	"bitnet/data/tokenizer"
	"bitnet/graph"
)

// State is state.json of a checkpoint: where training stands.
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
	Recent    recent  `json:"recent"`
	// Files are the other files of the directory, to tell a damaged
	// checkpoint from a whole one.
	Files map[string]FileSum `json:"files"`
}

// FileSum is a file's size in bytes and SHA-256.
type FileSum struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

const stateFormat = 1

// hfConfig is transformers' config.json.
type hfConfig struct {
	Architectures []string `json:"architectures"`
	ModelType     string   `json:"model_type"`
	ModelConfig
	TieWordEmbeddings bool           `json:"tie_word_embeddings"`
	AttentionBias     bool           `json:"attention_bias"`
	BOS               *uint32        `json:"bos_token_id"`
	EOS               *uint32        `json:"eos_token_id"`
	Pad               *uint32        `json:"pad_token_id,omitempty"`
	TorchDType        string         `json:"torch_dtype"`
	InitializerRange  float64        `json:"initializer_range"`
	Quantization      map[string]any `json:"quantization_config,omitempty"`
	RopeScaling       map[string]any `json:"rope_scaling,omitempty"`
	// RopeParameters is where newer versions of transformers keep rope_theta.
	RopeParameters *ropeParameters `json:"rope_parameters,omitempty"`
}

type ropeParameters struct {
	Theta float64 `json:"rope_theta"`
	Type  string  `json:"rope_type"`
}

// newHFConfig is the config.json of float masters, which are quantised at every forward.
func newHFConfig(m ModelConfig, tok *tokenizer.Tokenizer) hfConfig {
	c := hfConfig{
		Architectures: []string{"BitNetForCausalLM"}, ModelType: "bitnet", ModelConfig: m,
		TieWordEmbeddings: true, TorchDType: "float32", InitializerRange: initialStd,
		Quantization: map[string]any{"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "online"},
	}
	id := func(v uint32, ok bool) *uint32 {
		if !ok {
			return nil
		}
		return &v
	}
	if tok != nil {
		c.BOS, c.EOS, c.Pad = id(tok.BOS()), id(tok.EOS()), id(tok.Pad())
	}
	return c
}

// SaveCheckpoint writes a checkpoint directory, which is a transformers model
// directory with the optimizer's state beside. It is written under another
// name, synced and renamed, so that dir is always whole or absent.
func SaveCheckpoint(dir string, m *Model, tok *tokenizer.Tokenizer, config *Config, state State) (err error) {
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("writing a checkpoint: %w", err)
	}
	tmp, err := os.MkdirTemp(parent, ".writing-")
	if err != nil {
		return fmt.Errorf("writing a checkpoint: %w", err)
	}
	defer func() {
		if err != nil {
			os.RemoveAll(tmp)
			err = fmt.Errorf("writing checkpoint %s: %w; free some space or choose another --runs-dir", dir, err)
		}
	}()
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := m.saveWeights(filepath.Join(tmp, "model.safetensors"), form{graph.Master, ""}); err != nil {
		return err
	}
	if err := m.saveWeights(filepath.Join(tmp, "optimizer.safetensors"), form{graph.FirstMoment, "m."}, form{graph.SecondMoment, "v."}); err != nil {
		return err
	}
	text, err := json.MarshalIndent(newHFConfig(m.Config, tok), "", "  ")
	if err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(tmp, "config.json"), append(text, '\n')); err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(tmp, "config.yaml"), config.YAML()); err != nil {
		return err
	}
	if tok != nil {
		if err := tok.Save(tmp); err != nil {
			return err
		}
	}
	state.Format, state.Files = stateFormat, map[string]FileSum{}
	entries, err := os.ReadDir(tmp)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if state.Files[e.Name()], err = sumFile(filepath.Join(tmp, e.Name())); err != nil {
			return err
		}
	}
	if text, err = json.MarshalIndent(state, "", "  "); err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(tmp, "state.json"), append(text, '\n')); err != nil {
		return err
	}
	if err := atomicfile.SyncDir(tmp); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return err
	}
	return atomicfile.SyncDir(parent)
}

// form is one stored form of all parameters, under a prefix of its own.
type form struct {
	slot   graph.Slot
	prefix string
}

// saveWeights streams forms of all parameters under transformers' names.
func (m *Model) saveWeights(path string, forms ...form) error {
	var tensors []safetensors.Tensor
	for _, f := range forms {
		for _, p := range m.Params.All() {
			row := 0
			for _, part := range p.Parts {
				first, n := row, part.Rows
				row += n
				tensors = append(tensors, safetensors.Tensor{
					Name: f.prefix + part.Name, DType: "F32", Shape: shapeOf(p, n),
					Data: func(w io.Writer) error {
						values := make([]float32, n*p.Cols)
						if err := p.ReadRows(f.slot, first, values); err != nil {
							return err
						}
						return safetensors.Float32("", nil, values).Data(w)
					},
				})
			}
		}
	}
	return safetensors.Write(path, tensors, map[string]string{"format": "pt"})
}

func shapeOf(p *graph.Param, rows int) []int {
	if p.IsVector() {
		return []int{p.Cols}
	}
	return []int{rows, p.Cols}
}

// loadWeights is the reverse of saveWeights for one form; every tensor must be there, have
// its shape and hold finite numbers. A model of several files is read by its index.
func (m *Model) loadWeights(path string, slot graph.Slot, prefix string) error {
	files, err := openTensors(path)
	if err != nil {
		return err
	}
	defer files.close()
	for _, p := range m.Params.All() {
		values := make([]float32, p.Rows*p.Cols)
		rest := values
		for _, part := range p.Parts {
			name := prefix + part.Name
			if err := files.checkFloats(name, shapeOf(p, part.Rows)); err != nil {
				return err
			}
			n := part.Rows * p.Cols
			if err := files.floats(name, rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		if err := p.Write(slot, values); err != nil {
			return err
		}
	}
	return nil
}

func sumFile(path string) (FileSum, error) {
	f, err := os.Open(path)
	if err != nil {
		return FileSum{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return FileSum{n, hex.EncodeToString(h.Sum(nil))}, err
}

// ReadState reads and checks a checkpoint: all its files must be there with
// their sizes and checksums.
func ReadState(dir string) (State, error) {
	var s State
	text, err := os.ReadFile(filepath.Join(dir, "state.json"))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return s, fmt.Errorf("%s is not a checkpoint: it has no state.json", dir)
		}
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("%s: state.json: %s", dir, oneLine(err))
	}
	if s.Format != stateFormat || s.Step < 0 {
		return s, fmt.Errorf("%s: state.json has format %d, this program reads %d", dir, s.Format, stateFormat)
	}
	for _, name := range []string{"model.safetensors", "optimizer.safetensors", "config.json", "config.yaml"} {
		if _, ok := s.Files[name]; !ok {
			return s, fmt.Errorf("%s: state.json does not list %s", dir, name)
		}
	}
	for name := range s.Files {
		if name != filepath.Base(name) || name == ".." {
			return s, fmt.Errorf("%s: state.json lists %q, which is not a file name", dir, name)
		}
	}
	for name, want := range s.Files {
		got, err := sumFile(filepath.Join(dir, name))
		if err != nil {
			return s, fmt.Errorf("%s is damaged: %w", dir, err)
		}
		if got != want {
			return s, fmt.Errorf("%s is damaged: %s has %d bytes and SHA-256 %.12s, not %d and %.12s; use an earlier checkpoint",
				dir, name, got.Size, got.SHA256, want.Size, want.SHA256)
		}
	}
	return s, nil
}

// ReadModelConfig reads config.json of a transformers BitNet directory that
// can be trained: one with float masters.
func ReadModelConfig(dir string) (ModelConfig, error) {
	c, err := readHFConfig(dir)
	if err == nil && c.packed() {
		err = fmt.Errorf("%s: packed weights cannot be trained; give a directory with float masters", filepath.Join(dir, "config.json"))
	}
	return c.ModelConfig, err
}

// Checkpoints lists the checkpoints of a run, the newest first.
func Checkpoints(run string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(run, "checkpoints"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && runs.CheckpointStep(e.Name()) >= 0 {
			names = append(names, e.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int { return int(runs.CheckpointStep(b) - runs.CheckpointStep(a)) })
	for i, n := range names {
		names[i] = filepath.Join(run, "checkpoints", n)
	}
	return names, nil
}

// FindCheckpoint resolves a run directory to its newest whole checkpoint, and
// a checkpoint directory to itself. warn is told of damaged ones skipped.
func FindCheckpoint(path string, warn func(string)) (dir string, state State, err error) {
	if _, err := os.Stat(path); err != nil {
		return "", State{}, fmt.Errorf("there is no run or checkpoint %s", path)
	}
	list, listErr := Checkpoints(path)
	if listErr != nil {
		state, err = ReadState(path)
		return filepath.Clean(path), state, err
	}
	for _, c := range list {
		if state, err = ReadState(c); err == nil {
			return c, state, nil
		}
		warn(fmt.Sprintf("skipping %v", err))
	}
	return "", State{}, fmt.Errorf("run %s has no whole checkpoint yet: wait for one, or train again from the beginning", path)
}

// prune removes checkpoints beyond the newest keep; those of the stage
// boundary stay.
func prune(run string, keep int, t TrainConfig) error {
	list, err := Checkpoints(run)
	if err != nil || keep == 0 {
		return err
	}
	for _, c := range list {
		if t.stageBoundary(runs.CheckpointStep(c)) {
			continue
		}
		if keep--; keep < 0 {
			// Renamed first, so that a kill in between leaves no half checkpoint.
			gone := filepath.Join(filepath.Dir(c), ".removing-"+filepath.Base(c))
			if err := os.Rename(c, gone); err != nil {
				return err
			}
			if err := os.RemoveAll(gone); err != nil {
				return err
			}
		}
	}
	return nil
}

// setAside renames checkpoints after a step, from where the run goes on another
// way or because they are damaged: they are not to be taken for its newest.
func setAside(run string, step int64, note func(string)) error {
	list, err := Checkpoints(run)
	if err != nil {
		return err
	}
	for _, c := range list {
		if runs.CheckpointStep(c) <= step {
			continue
		}
		to := filepath.Join(filepath.Dir(c), "aside_"+filepath.Base(c))
		for i := 2; ; i++ {
			if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
				break
			}
			to = filepath.Join(filepath.Dir(c), fmt.Sprintf("aside_%s_%d", filepath.Base(c), i))
		}
		if err := os.Rename(c, to); err != nil {
			return err
		}
		note(fmt.Sprintf("the run goes on from step %d: set aside %s as %s", step, filepath.Base(c), filepath.Base(to)))
	}
	return nil
}

// sweep removes what a kill left behind.
func sweep(run string) error {
	for _, pattern := range []string{".writing-*", ".removing-*"} {
		left, err := filepath.Glob(filepath.Join(run, "checkpoints", pattern))
		if err != nil {
			return err
		}
		for _, l := range left {
			if err := os.RemoveAll(l); err != nil {
				return err
			}
		}
	}
	for _, dir := range []string{run, filepath.Join(run, "logs"), filepath.Join(run, "logs", "anomalies")} {
		if err := atomicfile.Sweep(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
