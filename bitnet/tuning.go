package bitnet

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"bitnet/data/atomicfile"
	"bitnet/gpu"
	"bitnet/graph"
	"bitnet/shaders"
)

// TuningFile is what was measured on an adapter, as it is stored: in the user's
// cache for all runs, and in a run's directory as tuning.json what the run uses.
type TuningFile struct {
	Adapter  string       `json:"adapter"`
	Driver   string       `json:"driver"`
	Backend  string       `json:"backend"`
	Kernels  string       `json:"kernels"` // shaders.Version
	Products graph.Tuning `json:"products"`
}

// NewTuning is an empty tuning of an adapter with these kernels.
func NewTuning(a gpu.Adapter) *TuningFile {
	return &TuningFile{a.Name, a.Driver, a.Backend, shaders.Version(), graph.Tuning{}}
}

// TuningPath is where the tuning of an adapter is stored: in $BITNET_TUNING, or
// in a folder of the user's cache.
func TuningPath(a gpu.Adapter) (string, error) {
	dir := os.Getenv("BITNET_TUNING")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("no folder to store a tuning in: %w: set BITNET_TUNING to one", err)
		}
		dir = filepath.Join(cache, "bitnet", "tuning")
	}
	sum := sha256.Sum256([]byte(a.Name + "\n" + a.Driver + "\n" + a.Backend))
	name := strings.Trim(notInNames.ReplaceAllString(a.Name, "-"), "-")
	return filepath.Join(dir, fmt.Sprintf("%.40s-%s-%s.json", name, a.Backend, hex.EncodeToString(sum[:4]))), nil
}

// mostTuning is the largest size of a tuning file in bytes: that of thousands of products.
const mostTuning = 4 << 20

// ReadTuning reads a tuning file. Nothing in it can do harm: what names no
// variant that fits is not used.
func ReadTuning(path string) (*TuningFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the tuning: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, mostTuning+1))
	if err != nil {
		return nil, fmt.Errorf("reading the tuning: %w", err)
	}
	var t TuningFile
	switch err := json.Unmarshal(text, &t); {
	case len(text) > mostTuning:
		return nil, fmt.Errorf("%s is no tuning: it has more than %d MiB", path, mostTuning>>20)
	case err != nil:
		return nil, fmt.Errorf("%s is no tuning: %s: make one with bitnet tune", path, oneLine(err))
	case t.Products == nil:
		return nil, fmt.Errorf("%s is no tuning: it has no products: make one with bitnet tune", path)
	}
	return &t, nil
}

// fits says whether it was measured on an adapter.
func (t *TuningFile) fits(a gpu.Adapter) error {
	if t.Adapter != a.Name || t.Driver != a.Driver || t.Backend != a.Backend {
		return fmt.Errorf("it was measured on %.80q (%.80q) through %.20q, and this is %q (%q) through %q", t.Adapter, t.Driver, t.Backend, a.Name, a.Driver, a.Backend)
	}
	return nil
}

// fresh says whether it was measured with these kernels.
func (t *TuningFile) fresh() bool { return t.Kernels == shaders.Version() }

func (t *TuningFile) write(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("storing the tuning: %w", err)
	}
	text, err := json.MarshalIndent(t, "", "  ")
	if err == nil {
		err = atomicfile.Write(path, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("storing the tuning: %w", err)
	}
	return nil
}
