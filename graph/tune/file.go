package tune

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"bitnet/data/atomicfile"
	"bitnet/data/plainfile"
	"bitnet/gpu"
	"bitnet/shaders/matmul"
)

// File is what was measured on an adapter, as it is stored: in the user's cache
// for all runs, and in a run's directory what the run uses.
type File struct {
	Adapter  string `json:"adapter"`
	Driver   string `json:"driver"`
	Backend  string `json:"backend"`
	Kernels  string `json:"kernels"` // matmul.Version
	Products Tuning `json:"products"`
}

// NewFile is an empty tuning of an adapter with the kernels of this program.
func NewFile(a gpu.Adapter) *File {
	return &File{a.Name, a.Driver, a.Backend, matmul.Version(), Tuning{}}
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9]+`)

// Path is where the tuning of an adapter is stored: in $BITNET_TUNING, or in a
// folder of the user's cache.
func Path(a gpu.Adapter) (string, error) {
	dir := os.Getenv("BITNET_TUNING")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("there is no folder to store a tuning in: %w: set BITNET_TUNING to one", err)
		}
		dir = filepath.Join(cache, "bitnet", "tuning")
	}
	sum := sha256.Sum256([]byte(a.Name + "\n" + a.Driver + "\n" + a.Backend))
	name := strings.Trim(notInNames.ReplaceAllString(a.Name, "-"), "-")
	return filepath.Join(dir, fmt.Sprintf("%.40s-%s-%s.json", name, a.Backend, hex.EncodeToString(sum[:4]))), nil
}

// mostBytes is the largest size of a tuning file: that of thousands of products.
const mostBytes = 4 << 20

// ReadFile reads a tuning file. Nothing in it can do harm: a variant that does
// not exist or does not fit is not used.
func ReadFile(path string) (*File, error) {
	text, err := plainfile.Read(path, mostBytes)
	if err != nil {
		return nil, fmt.Errorf("reading the tuning %s: %w", path, err)
	}
	var t File
	switch err := json.Unmarshal(text, &t); {
	case err != nil:
		return nil, fmt.Errorf("%s is not a tuning file: it is not valid JSON of that form: make one with bitnet tune", path)
	case t.Products == nil:
		return nil, fmt.Errorf("%s is not a tuning file: it has no products: make one with bitnet tune", path)
	}
	return &t, nil
}

// Fits is an error that says why the tuning does not belong to an adapter, nil if
// it was measured on it.
func (t *File) Fits(a gpu.Adapter) error {
	if t.Adapter != a.Name || t.Driver != a.Driver || t.Backend != a.Backend {
		return fmt.Errorf("it was measured on %.80q (%.80q) with the backend %.20q, and this is %q (%q) with %q", t.Adapter, t.Driver, t.Backend, a.Name, a.Driver, a.Backend)
	}
	return nil
}

// Fresh reports whether the tuning was measured with the kernels of this program.
func (t *File) Fresh() bool { return t.Kernels == matmul.Version() }

// Write stores the tuning, and makes the folder where that is missing.
func (t *File) Write(path string) error {
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
