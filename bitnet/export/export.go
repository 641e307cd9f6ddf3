package export

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bitnet/bitnet/model"
	"bitnet/bitnet/modelfile"
	"bitnet/data/atomicfile"
	"bitnet/data/tokenizer"
	"bitnet/gpu"
)

// Formats lists the forms in which Export writes a model.
var Formats = []string{"hf", "hf-packed", "gguf", "peft", "gguf-lora"}

// Options say what Export writes.
type Options struct {
	Format  string // one of Formats
	Type    string // of the projections in a GGUF file, one of Types; "" for the smallest that fits
	Out     string // a new folder; for gguf also a file whose name ends in .gguf
	Check   bool   // read what was written again, and compare every weight, scale and token
	Verify  bool   // compare the logits of what was written with those of the model
	Force   bool   // write a GGUF file that llama.cpp computes differently
	RunsDir string // where a run's name is looked for
	Note    func(string)
	// Extra writes more files into the folder of hf and hf-packed, such as a model
	// card, before the folder gets its name; source is the model's directory. It
	// may be nil.
	Extra func(source, folder string) error

	Adapter string // on the model, found as a model is; "" for none, or that of a run that trained one
	Merge   bool   // make a model of the model and its adapter
	Float   bool   // with Merge: one in which nothing is quantised
	ForLoRA bool   // write a GGUF file to which llama.cpp can add an adapter
	// Merged is called with what merging made, before it is written: load puts it onto
	// a device. It may be nil.
	Merged func(load func(*gpu.Device) (*model.Model, error)) error
}

// Result is what Export did.
type Result struct {
	Type     string // as in Options
	Files    []string
	Bytes    int64
	Tensors  int        // compared by Check
	Verified *LogitsGap // by Verify
}

// exporter is a model on its way out.
type exporter struct {
	Options
	dir     string // the source
	config  modelfile.HFConfig
	weights *modelfile.Weights
	adapter *modelfile.Adapter // nil for none, and once it is merged
	source  modelfile.Source
	masters map[string][]float32  // of projections that merging changed; nil for those of the files
	float   *modelfile.FloatModel // that merging made with Float; else nil
	tok     *tokenizer.Tokenizer  // nil for none
	done    Result
}

// Export writes a run's newest checkpoint, a checkpoint or a model for other
// programs: the folder that transformers reads (hf: float masters, which it
// quantises at every forward; hf-packed: 2 bits per weight), or llama.cpp's GGUF
// with a Modelfile for Ollama next to it. An adapter alone becomes a folder of PEFT or a
// GGUF file, or is merged into its model, which stays ternary, or becomes a float model
// in a folder or a GGUF file. Everything is written under a temporary name, synced,
// checked if that is asked for, and renamed.
func Export(ctx context.Context, path string, o Options) (*Result, error) {
	if o.Note == nil {
		o.Note = func(string) {}
	}
	switch {
	case !slices.Contains(Formats, o.Format):
		return nil, fmt.Errorf("--format %s: choose one of %s", o.Format, strings.Join(Formats, ", "))
	case o.Out == "":
		return nil, fmt.Errorf("say where to write with --output")
	case o.ForLoRA && o.Format != "gguf":
		return nil, fmt.Errorf("--for-lora works only with --format gguf, not with %s", o.Format)
	case o.Type != "" && o.Format != "gguf":
		return nil, fmt.Errorf("--type works only with --format gguf, not with %s", o.Format)
	}
	source, err := modelfile.ResolveSource(ctx, o.RunsDir, path, o.Adapter, o.Note)
	if err != nil {
		return nil, err
	}
	dir := source.Dir
	e := &exporter{Options: o, dir: dir, source: source}
	if err := e.checkAdapter(path); err != nil {
		return nil, err
	}
	if e.config, err = modelfile.ReadHFConfig(dir); err != nil {
		return nil, err
	}
	if e.weights, e.adapter, err = modelfile.ReadSource(source); err != nil {
		return nil, err
	}
	if o.Merge {
		if err := e.mergeAndMeasure(); err != nil {
			return nil, err
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "tokenizer.json")); err == nil {
		if e.tok, err = tokenizer.Load(dir); err != nil {
			return nil, err
		}
		if e.tok.Size() > e.config.VocabSize {
			return nil, fmt.Errorf("%s: the tokenizer has %d tokens, but the model only %d: they do not belong together", dir, e.tok.Size(), e.config.VocabSize)
		}
	}
	switch o.Format {
	case "gguf":
		err = e.gguf()
	case "peft":
		err = e.peft()
	case "gguf-lora":
		err = e.ggufAdapter()
	default:
		err = e.folder()
	}
	if err != nil {
		return nil, err
	}
	return &e.done, nil
}

// folder writes the form of transformers.
func (e *exporter) folder() (err error) {
	packed := e.Format == "hf-packed"
	if !packed && e.config.Packed() && !e.Float {
		return fmt.Errorf("%s holds packed weights without float masters: export with --format hf-packed or gguf", e.dir)
	}
	f, err := atomicfile.NewFolder(e.Out)
	if err != nil {
		return fmt.Errorf("making the folder of --output: %w", err)
	}
	defer f.Discard() // removes what an error leaves
	tmp := f.Dir
	if err := e.writeHF(tmp, packed); err != nil {
		return fmt.Errorf("writing %s: %w", e.Out, err)
	}
	if e.Extra != nil {
		if err := e.Extra(e.dir, tmp); err != nil {
			return err
		}
	}
	written(tmp)
	rest := func() error { return e.checkHF(tmp, packed) }
	if e.Float {
		err = e.rereadFloat(func() (*modelfile.FloatModel, error) { return readFloatHF(tmp) }, rest)
	} else {
		err = e.reread(func() (*modelfile.Weights, error) { return modelfile.ReadWeights(tmp) }, rest)
	}
	if err != nil {
		return err
	}
	return e.place(f)
}

// place gives a folder its name, and notes what it holds.
func (e *exporter) place(f *atomicfile.Folder) error {
	names, err := os.ReadDir(f.Dir)
	if err != nil {
		return err
	}
	if err := f.Place(); err != nil {
		return fmt.Errorf("placing %s: %w", e.Out, err)
	}
	for _, n := range names {
		e.wrote(filepath.Join(e.Out, n.Name()))
	}
	return nil
}

// written is called with an export before it is checked; tests damage it.
var written = func(path string) {}

// reread reads an export again and compares it, as far as that is asked for.
func (e *exporter) reread(read func() (*modelfile.Weights, error), rest func() error) error {
	want := func(ids []uint32) ([][]float64, error) { return e.weights.Forward(ids, modelfile.PerToken) }
	return rereadAs(e, read, e.compare, rest, want, modelfile.PerToken)
}

// rereadAs is reread for a kind of model: compare finds the first difference of what was
// read, and Verify compares its logits, with rounded activations or not, with want.
func rereadAs[M interface {
	Forward([]uint32, modelfile.Rounding) ([][]float64, error)
}](e *exporter, read func() (M, error), compare func(M) error, rest func() error, want func([]uint32) ([][]float64, error), own modelfile.Rounding) error {
	if !e.Check && !e.Verify {
		return nil
	}
	got, err := read()
	if err != nil {
		return fmt.Errorf("reading the export again: %w", err)
	}
	if e.Check {
		err := compare(got)
		if err == nil {
			err = rest()
		}
		if err != nil {
			return fmt.Errorf("the export differs from the model and was removed: %w", err)
		}
	}
	if e.Verify {
		if e.done.Verified, err = e.logitsGap(want, got.Forward, own); err != nil {
			return err
		}
	}
	return nil
}

func (e *exporter) wrote(path string) {
	if info, err := os.Stat(path); err == nil {
		e.done.Bytes += info.Size()
	}
	e.done.Files = append(e.done.Files, path)
}
