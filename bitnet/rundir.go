package bitnet

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"bitnet/data/atomicfile"
)

var runName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// RunName is the default name of a run: bitnet_<desc>_<timestamp>.
func RunName(c *Config, now time.Time) string {
	return fmt.Sprintf("bitnet_%s_%s", c.Name, now.Format("20060102_150405"))
}

// CreateRun makes a run directory; it must not exist.
func CreateRun(runsDir, name string, c *Config) (string, error) {
	if !runName.MatchString(name) {
		return "", fmt.Errorf("--run-id %q: use letters, digits, '.', '_' and '-'", name)
	}
	dir := filepath.Join(runsDir, name)
	if err := os.MkdirAll(runsDir, 0o755); err != nil {
		return "", fmt.Errorf("making the runs directory: %w", err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("run %s exists: resume it with --resume %s, remove it, or choose another --run-id", dir, dir)
		}
		return "", fmt.Errorf("making the run directory: %w", err)
	}
	for _, sub := range []string{"logs", "checkpoints"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			return "", err
		}
	}
	return dir, atomicfile.Write(filepath.Join(dir, "config.yaml"), c.YAML())
}

// journal appends JSON lines to a file.
type journal struct{ f *os.File }

// openJournal opens a log at a step: lines of later steps and a half-written
// last line, which a run left that was killed after its last checkpoint, go.
func openJournal(path string, step int64) (*journal, error) {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var kept bytes.Buffer
	lines := bufio.NewScanner(bytes.NewReader(old))
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var line struct {
			Step int64 `json:"step"`
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Step <= step {
			kept.Write(lines.Bytes())
			kept.WriteByte('\n')
		}
	}
	if !bytes.Equal(kept.Bytes(), old) {
		if err := atomicfile.Write(path, kept.Bytes()); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	return &journal{f}, nil
}

// add appends one line in one write.
func (j *journal) add(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = j.f.Write(append(text, '\n'))
	return err
}

func (j *journal) close() error { return j.f.Close() }
