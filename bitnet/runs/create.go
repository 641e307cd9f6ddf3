package runs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"bitnet/data/atomicfile"
	"bitnet/data/printable"
)

var runName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// Create makes a run directory with its config.yaml; the directory must not
// exist.
func Create(runsDir, name string, config []byte) (*Run, error) {
	if !runName.MatchString(name) {
		return nil, fmt.Errorf("--run-id %q: use letters, digits, '.', '_' and '-'", name)
	}
	r := &Run{Name: name, Dir: filepath.Join(runsDir, name)}
	if err := os.MkdirAll(runsDir, 0o755); err != nil {
		return nil, fmt.Errorf("making the runs directory: %w", err)
	}
	if err := os.Mkdir(r.Dir, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("run %s exists: resume it with --resume %s, remove it, or choose another --run-id", r.Dir, printable.Shell(r.Dir))
		}
		return nil, fmt.Errorf("making the run directory: %w", err)
	}
	for _, sub := range []string{"logs", "checkpoints"} {
		if err := os.Mkdir(filepath.Join(r.Dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("making the run directory: %w", err)
		}
	}
	return r, r.WriteConfig(config)
}

// WriteConfig replaces config.yaml, as resuming with other settings does.
func (r *Run) WriteConfig(config []byte) error {
	if err := atomicfile.Write(filepath.Join(r.Dir, "config.yaml"), config); err != nil {
		return fmt.Errorf("writing the run's configuration: %w", err)
	}
	return nil
}

// TuningPath is the file that holds the variants of kernels that the run uses.
func (r *Run) TuningPath() string { return filepath.Join(r.Dir, "tuning.json") }

// TensorBoard is the folder of the run's TensorBoard events.
func (r *Run) TensorBoard() string { return filepath.Join(r.Dir, "tensorboard") }

// WriteDump stores what is needed to debug an anomaly, and returns the file's
// path in the run directory for Anomaly.Dump.
func (r *Run) WriteDump(step int64, kind AnomalyKind, text []byte) (string, error) {
	name := filepath.Join("logs", "anomalies", fmt.Sprintf("step_%08d_%s.json", step, kind))
	path := filepath.Join(r.Dir, name)
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = atomicfile.Write(path, text)
	}
	if err != nil {
		return "", fmt.Errorf("writing an anomaly: %w", err)
	}
	return filepath.ToSlash(name), nil
}

// Sweep removes what a process left half written that was killed. The caller
// holds the run's lock.
func (r *Run) Sweep() error {
	if err := r.sweepCheckpoints(); err != nil {
		return fmt.Errorf("cleaning up after the run: %w", err)
	}
	logs := filepath.Join(r.Dir, "logs")
	for _, dir := range []string{r.Dir, logs, filepath.Join(logs, "anomalies")} {
		if err := atomicfile.Sweep(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cleaning up after the run: %w", err)
		}
	}
	return nil
}
