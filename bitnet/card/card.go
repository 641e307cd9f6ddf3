// Package card writes the model card of a model: README.md, which a hub shows as
// the page of a repository, with what the model is, how it was trained, how well
// it did, and how to use it. It says only what the model's files and its run's
// files hold; of the data's local files it gives the names, not the folders.
package card

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/runs"
	"bitnet/bitnet/runs/chart"
	"bitnet/data/tokenizer"
)

// Names of the files of a card.
const (
	Name       = "README.md"
	CurvesName = "curves.svg"
)

// mark tells a card that this program wrote from one that a person did.
const mark = "<!-- This model card was written by bitnet. To keep your changes, remove this line. -->"

// Written reports whether a README.md is a card that this program wrote, and
// nobody claimed since.
func Written(readme []byte) bool { return bytes.Contains(readme, []byte(mark)) }

// About is what a card says that no file of the model does.
type About struct {
	Title   string // heading; "" for the run's name
	Repo    string // ORG/NAME on the hub; "" where it is not known
	License string // as the hub names it, such as mit; "" for none
	Format  string // of the files that the card is for: hf, hf-packed or gguf
	GGUF    string // name of the GGUF file; "" for none
	Float   bool   // of hf: a ternary model and its adapter became a float model, which bitnet does not run
}

// Card is a model card.
type Card struct {
	Readme []byte
	Curves []byte // SVG; nil where the run has no curves, or there is no run
}

// model is what is known of the model that a card is about.
type model struct {
	About
	dir    string
	config modelfile.HFConfig
	tok    *tokenizer.Tokenizer // nil for none
	run    *runs.Run            // nil for none
	info   runs.Info
	from   runs.Provenance
	step   int64      // of the checkpoint, -1 if it is not one
	eval   *runs.Eval // of that step, or else the last before it; nil for none
}

// New writes the card of the model in dir: a checkpoint of a run, or any other
// model directory.
func New(dir string, about About) (*Card, error) {
	if err := CheckLicense(about.License); err != nil {
		return nil, err
	}
	m := &model{About: about, dir: dir, step: -1}
	var err error
	if m.config, err = modelfile.ReadHFConfig(dir); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, "tokenizer.json")); err == nil {
		if m.tok, err = tokenizer.Load(dir); err != nil {
			return nil, err
		}
	}
	if err := m.findRun(dir); err != nil {
		return nil, err
	}
	if m.Title == "" {
		m.Title = m.title(dir)
	}
	c := &Card{}
	if c.Curves, err = m.curves(); err != nil {
		return nil, err
	}
	c.Readme = m.text(c.Curves != nil)
	return c, nil
}

// CheckLicense refuses what cannot be a license identifier of a hub.
func CheckLicense(license string) error {
	for _, r := range license {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '.' {
			return fmt.Errorf("license %q: give the hub's identifier, such as mit, apache-2.0, cc-by-4.0 or other", license)
		}
	}
	return nil
}

// findRun finds the run that dir is a checkpoint of.
func (m *model) findRun(dir string) error {
	full, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	step := runs.CheckpointStep(full)
	if step < 0 || filepath.Base(filepath.Dir(full)) != "checkpoints" {
		return nil
	}
	run, err := runs.Open(filepath.Dir(filepath.Dir(full)))
	if err != nil {
		return nil // a checkpoint that was copied without its run
	}
	m.run, m.info, m.step = run, run.Info(), step
	m.from, _ = run.Provenance() // what is missing is not said
	evals, err := run.Evals()
	if err != nil {
		return fmt.Errorf("reading the evaluations of run %s: %w", run.Name, err)
	}
	for i := range evals {
		if evals[i].Step <= step {
			m.eval = &evals[i]
		}
	}
	return nil
}

func (m *model) title(dir string) string {
	switch {
	case m.Repo != "":
		_, name, _ := strings.Cut(m.Repo, "/")
		return name
	case m.run != nil:
		return m.run.Name
	}
	full, err := filepath.Abs(dir)
	if err != nil {
		full = dir
	}
	return filepath.Base(full)
}

// curves draws what the run logged.
func (m *model) curves() ([]byte, error) {
	if m.run == nil {
		return nil, nil
	}
	source, err := chart.Load(m.run, runs.BySteps, 600)
	if err != nil {
		return nil, err
	}
	var image bytes.Buffer
	err = chart.Write(&image, "svg", []chart.Source{source}, chart.Options{Axis: runs.BySteps})
	if errors.Is(err, chart.ErrEmpty) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("drawing the curves of run %s: %w", m.run.Name, err)
	}
	return image.Bytes(), nil
}
