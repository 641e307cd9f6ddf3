// Package share puts models on a hub and takes them from it: which files of a
// run or a folder are pushed, with which model card, and where pulled ones go.
// Package hub speaks the hub's protocol.
package share

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"bitnet/bitnet/card"
	"bitnet/bitnet/export"
	"bitnet/bitnet/modelfile"
	"bitnet/data/hub"
	"bitnet/data/plainfile"
	"bitnet/data/printable"
)

// Options say what of a model is pushed.
type Options struct {
	Format  string // one of export.Formats; for a folder that is no run, what it holds
	Type    string // of a GGUF file
	License string // for the model card
	NoCard  bool   // write no model card
	Repo    string // ORG/NAME
	RunsDir string
	Note    func(string)
}

// Parcel is what is pushed. Close removes what was made for it.
type Parcel struct {
	Files []hub.Source
	Bytes int64
	made  string // a folder, "" for none
}

// Close removes the files that were made to be pushed.
func (p *Parcel) Close() error {
	if p.made == "" {
		return nil
	}
	return os.RemoveAll(p.made)
}

// add adds a file of at least 0 bytes.
func (p *Parcel) add(s hub.Source, size int64) {
	p.Files = append(p.Files, s)
	p.Bytes += size
}

// has says whether a file of the parcel has a path.
func (p *Parcel) has(name string) bool {
	return slices.ContainsFunc(p.Files, func(s hub.Source) bool { return s.Path == name })
}

// Pack makes a parcel of a model: of a run or a checkpoint an export, without
// the optimizer's state; of any other folder its files as they are. Both get a
// model card, unless the folder has a README.md.
func Pack(ctx context.Context, name string, o Options) (*Parcel, error) {
	if o.Note == nil {
		o.Note = func(string) {}
	}
	if err := card.CheckLicense(o.License); err != nil {
		return nil, err
	}
	if o.NoCard && o.License != "" {
		return nil, errors.New("the license is in the model card: leave out --license or --no-card")
	}
	if folder, err := isFolder(name); err != nil {
		return nil, err
	} else if folder {
		return packFolder(name, o)
	}
	return packModel(ctx, name, o)
}

// isFolder says whether a name is that of a folder to push as it is: one that
// is there, and neither a run nor a checkpoint.
func isFolder(name string) (bool, error) {
	info, err := os.Stat(name)
	if err != nil {
		return false, nil
	}
	if !info.IsDir() {
		return false, fmt.Errorf("%s is a file: give the folder of a run, a checkpoint or a model", printable.String(name))
	}
	for _, of := range []string{"checkpoints", "state.json", "config.yaml", "logs"} {
		if _, err := os.Stat(filepath.Join(name, of)); err == nil {
			return false, nil
		}
	}
	return true, nil
}

// packModel exports a model, or the adapter of a run that trained one, into a
// temporary folder. A card is about a model: an adapter gets none.
func packModel(ctx context.Context, name string, o Options) (p *Parcel, err error) {
	made, err := os.MkdirTemp("", "bitnet-push-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for the files to push: %w; set TMPDIR to a folder with room", err)
	}
	p = &Parcel{made: made}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(made)
		}
	}()
	source, err := modelfile.Resolve(ctx, o.RunsDir, name, o.Note)
	if err != nil {
		return nil, err
	}
	adapter := modelfile.IsAdapter(source)
	if err := o.fit(name, adapter); err != nil {
		return nil, err
	}
	folder := filepath.Join(made, "model")
	out := folder
	switch o.Format {
	case "gguf":
		out = filepath.Join(folder, "model.gguf")
	case "gguf-lora":
		out = filepath.Join(folder, "adapter.gguf")
	}
	_, err = export.Export(ctx, source, export.Options{Format: o.Format, Type: o.Type, Out: out, RunsDir: o.RunsDir, Note: o.Note})
	if err != nil {
		return nil, err
	}
	switch {
	case o.NoCard:
	case adapter:
		o.Note("no model card is written for an adapter: the hub's page can be edited")
	default:
		if err := WriteCard(source, folder, card.About{Repo: o.Repo, License: o.License, Format: o.Format, GGUF: "model.gguf"}); err != nil {
			return nil, err
		}
	}
	return p, p.addFolder(folder)
}

// fit chooses the format if none was given, and refuses what does not fit a model or
// an adapter.
func (o *Options) fit(name string, adapter bool) error {
	alone := []string{"peft", "gguf-lora"} // formats of adapters
	switch {
	case o.Format == "" && adapter:
		o.Format = "peft"
	case o.Format == "":
		o.Format = "hf"
	case adapter && !slices.Contains(alone, o.Format):
		return fmt.Errorf("%s is an adapter: push it with --format peft or gguf-lora, or make a model of it first, with bitnet export --merge", printable.String(name))
	}
	if adapter && o.License != "" {
		return errors.New("the license is in the model card, and an adapter gets none: leave out --license")
	}
	return nil
}

// WriteCard writes the model card of the model in source into folder.
func WriteCard(source, folder string, about card.About) error {
	c, err := card.New(source, about)
	if err != nil {
		return fmt.Errorf("writing the model card: %w", err)
	}
	err = os.WriteFile(filepath.Join(folder, card.Name), c.Readme, 0o644)
	if c.Curves != nil {
		err = errors.Join(err, os.WriteFile(filepath.Join(folder, card.CurvesName), c.Curves, 0o644))
	}
	if err != nil {
		return fmt.Errorf("writing the model card: %w", err)
	}
	return nil
}

// packFolder takes a folder as it is.
func packFolder(name string, o Options) (*Parcel, error) {
	if o.Type != "" || o.Format != "" {
		return nil, fmt.Errorf("%s is pushed as it is: leave out --format and --type, or name a run", printable.String(name))
	}
	p := &Parcel{}
	if err := p.addFolder(name); err != nil {
		return nil, err
	}
	ggufs := slices.DeleteFunc(slices.Clone(p.Files), func(s hub.Source) bool { return !strings.HasSuffix(s.Path, ".gguf") })
	isModel := p.has("config.json")
	switch {
	case !isModel && len(ggufs) == 0 && !p.has("adapter_config.json"):
		return nil, fmt.Errorf("%s holds no model: it has no config.json, adapter_config.json or .gguf file", printable.String(name))
	case p.has(card.Name) && o.License != "":
		return nil, fmt.Errorf("%s has a %s already: write the license there, and leave out --license", printable.String(name), card.Name)
	case o.NoCard || p.has(card.Name):
		return p, nil
	case !isModel && o.License != "":
		return nil, fmt.Errorf("%s has no config.json, so no model card is written for the license: put a %s into it, and leave out --license", printable.String(name), card.Name)
	case !isModel:
		o.Note(fmt.Sprintf("there is no config.json, so no model card is written: put a %s into %s", card.Name, printable.String(name)))
		return p, nil
	}
	c, err := card.New(name, card.About{Repo: o.Repo, License: o.License, Format: formOf(name)})
	if err != nil {
		return nil, fmt.Errorf("writing the model card: %w; put a %s into the folder, or push with --no-card", err, card.Name)
	}
	p.add(hub.Source{Path: card.Name, Data: c.Readme}, int64(len(c.Readme)))
	return p, nil
}

// formOf is which of the forms of transformers a folder has.
func formOf(dir string) string {
	if c, err := modelfile.ReadHFConfig(dir); err == nil && c.Packed() {
		return "hf-packed"
	}
	return "hf"
}

// maxFiles is how many files a folder may have: more are no model.
const maxFiles = 10_000

// addFolder adds the files of a folder and of those in it. Hidden ones are left
// out.
func (p *Parcel) addFolder(dir string) error {
	err := plainfile.Below(dir, func(file string, _ fs.DirEntry) error {
		rel, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		f, err := plainfile.Open(file) // a link is followed, a pipe refused
		if err != nil {
			return fmt.Errorf("%s: %w", printable.String(file), err)
		}
		info, err := f.Stat()
		f.Close()
		if err != nil {
			return err
		}
		if len(p.Files) == maxFiles {
			return fmt.Errorf("it has more than %d files", maxFiles)
		}
		p.add(hub.Source{Path: path.Clean(filepath.ToSlash(rel)), Local: file}, info.Size())
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the folder %s: %w", printable.String(dir), err)
	}
	return nil
}
