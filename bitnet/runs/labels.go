package runs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"bitnet/data/atomicfile"
	"bitnet/data/printable"
)

// Labels is labels.json, which a person writes about a run (bitnet runs note,
// bitnet runs tag). Training neither reads nor writes it.
type Labels struct {
	Note string   `json:"note,omitempty"` // a few lines at most
	Tags []string `json:"tags,omitempty"` // in order, each once
}

// maxNote is how many bytes a note may have.
const maxNote = 4096

var tagName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func (r *Run) labelsPath() string { return filepath.Join(r.Dir, "labels.json") }

// Labels reads labels.json. A run without the file has no labels.
func (r *Run) Labels() (Labels, error) {
	var l Labels
	text, err := readSmall(r.labelsPath())
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err = d.Decode(&l); err == nil {
		err = l.check()
	}
	if err != nil {
		return Labels{}, fmt.Errorf("%s is damaged: remove it to start with no note and no tags", printable.String(r.labelsPath()))
	}
	return l, nil
}

// SetLabels writes labels.json; without note and tags it removes it.
func (r *Run) SetLabels(l Labels) error {
	slices.Sort(l.Tags)
	l.Tags = slices.Compact(l.Tags)
	if err := l.check(); err != nil {
		return err
	}
	if l.Note == "" && len(l.Tags) == 0 {
		if err := os.Remove(r.labelsPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing the labels of run %s: %w", printable.String(r.Name), err)
		}
		return nil
	}
	text, err := json.MarshalIndent(l, "", "  ")
	if err == nil {
		err = atomicfile.Write(r.labelsPath(), append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("writing the labels of run %s: %w", printable.String(r.Name), err)
	}
	return nil
}

func (l *Labels) check() error {
	if len(l.Note) > maxNote || !utf8.ValidString(l.Note) || strings.ContainsRune(l.Note, 0) {
		return fmt.Errorf("a note is text of at most %d bytes", maxNote)
	}
	for _, t := range l.Tags {
		if !tagName.MatchString(t) {
			return fmt.Errorf("tag %q: use letters, digits, '.', '_' and '-', at most 64", t)
		}
	}
	return nil
}
