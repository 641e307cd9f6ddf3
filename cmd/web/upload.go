package main

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"bitnet/bitnet/export"
	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/runs"
	"bitnet/data/printable"
	"bitnet/data/text"
	"bitnet/data/tokenizer"
)

// Bounds of what a visitor may drop.
const (
	mostUnpacked = 4 << 30 // bytes of the files of a zip
	mostFiles    = 1000
)

// takeUpload keeps what was dropped: the worker's JavaScript has put its files into
// a folder. What cannot be used is removed, and nothing else is touched.
func takeUpload(ctx context.Context, c *call) (any, error) {
	dir := c.Path
	defer os.RemoveAll(dir)
	files, err := filesIn(dir)
	if err != nil {
		return nil, err
	}
	name := c.Name
	if len(files) == 1 {
		switch path := files[0]; strings.ToLower(filepath.Ext(path)) {
		case ".gguf":
			model := filepath.Join(dir, "model")
			if err := export.ReadGGUF(path, model); err != nil {
				return nil, clean(err, dir)
			}
			return c.keepModel(model, strings.TrimSuffix(name, filepath.Ext(name)))
		case ".zip":
			if err := unzip(ctx, path, filepath.Join(dir, "zip")); err != nil {
				return nil, clean(err, dir)
			}
			if err := os.Remove(path); err != nil {
				return nil, err
			}
			name = strings.TrimSuffix(name, filepath.Ext(name))
			if files, err = filesIn(dir); err != nil {
				return nil, err
			}
		}
	}
	for _, path := range files {
		if filepath.Base(path) == "config.json" {
			run, err := c.keepModel(filepath.Dir(path), name)
			return run, clean(err, dir)
		}
	}
	run, err := c.keepText(ctx, dir, name)
	return run, clean(err, dir)
}

// clean takes the worker's own folders out of an error.
func clean(err error, dir string) error {
	if err == nil {
		return nil
	}
	return errors.New(strings.ReplaceAll(strings.ReplaceAll(err.Error(), dir+"/", ""), dir, "what was dropped"))
}

// filesIn lists the files below a folder.
func filesIn(dir string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err == nil && len(files) == 0 {
		err = errors.New("there is no file in what was dropped")
	}
	return files, err
}

// unzip writes the files of a zip below a new folder. Names that lead out of it,
// and more than a model could need, are refused.
func unzip(ctx context.Context, path, dir string) error {
	z, err := zip.OpenReader(path)
	if err != nil {
		return errors.New("the zip is damaged: make it again")
	}
	defer z.Close()
	if len(z.File) > mostFiles {
		return fmt.Errorf("the zip holds %d files: drop one model", len(z.File))
	}
	left := int64(mostUnpacked)
	for _, f := range z.File {
		if !filepath.IsLocal(f.Name) || strings.Contains(f.Name, "\\") {
			return fmt.Errorf("the zip holds a file %s, which would lie outside of its folder: it is not used", printable.Short(f.Name, 60))
		}
		if f.FileInfo().IsDir() {
			continue
		}
		if !f.Mode().IsRegular() {
			return fmt.Errorf("the zip holds %s, which is not a plain file: it is not used", printable.Short(f.Name, 60))
		}
		n, err := unzipFile(ctx, f, filepath.Join(dir, f.Name), left)
		if err != nil {
			return err
		}
		left -= n
	}
	return nil
}

func unzipFile(ctx context.Context, f *zip.File, path string, most int64) (int64, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return 0, err
	}
	in, err := f.Open()
	if err != nil {
		return 0, fmt.Errorf("the zip is damaged at %s: make it again", printable.Short(f.Name, 60))
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(out, io.LimitReader(readerWith{ctx, in}, most+1))
	if e := out.Close(); err == nil {
		err = e
	}
	switch {
	case errors.Is(err, zip.ErrChecksum), errors.Is(err, zip.ErrFormat), errors.Is(err, io.ErrUnexpectedEOF):
		return n, fmt.Errorf("the zip is damaged at %s: make it again", printable.Short(f.Name, 60))
	case err == nil && n > most:
		return n, errors.New("the zip holds more than 4 GiB: drop a smaller model")
	}
	return n, err
}

// readerWith ends when a context does.
type readerWith struct {
	ctx context.Context
	io.Reader
}

func (r readerWith) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// keepModel checks a model's folder and moves it to the models; a checkpoint with
// its state becomes a run again.
func (w *worker) keepModel(dir, name string) (any, error) {
	weights, err := modelfile.ReadWeights(dir)
	if err != nil {
		return nil, err
	}
	tok, err := tokenizer.Load(dir)
	if err != nil {
		return nil, err
	}
	if n := tok.Size(); n > weights.Config.VocabSize {
		return nil, fmt.Errorf("the tokenizer has %d tokens, the model %d: they do not belong together", n, weights.Config.VocabSize)
	}
	if _, err := os.Stat(filepath.Join(dir, "state.json")); err == nil {
		return w.keepRun(dir, name)
	}
	name = w.freeName(name)
	if err := place(dir, filepath.Join(w.models(), name)); err != nil {
		return nil, err
	}
	return w.describe(name)
}

// keepRun makes a run of a checkpoint.
func (w *worker) keepRun(dir, name string) (any, error) {
	state, err := runs.ReadState(dir, modelfile.WeightsName, "optimizer.safetensors", "config.json", "config.yaml")
	if err != nil {
		return nil, err
	}
	config, err := os.ReadFile(filepath.Join(dir, "config.yaml"))
	if err != nil {
		return nil, err
	}
	name = w.freeName(name)
	tmp, err := os.MkdirTemp(w.scratch(), "run-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	run, err := runs.Create(tmp, name, config)
	if err != nil {
		return nil, err
	}
	if err := place(dir, run.CheckpointDir(state.Step)); err != nil {
		return nil, err
	}
	if err := place(run.Dir, filepath.Join(w.runs(), name)); err != nil {
		return nil, err
	}
	return w.describe(name)
}

func place(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("keeping what was dropped: %w", err)
	}
	return nil
}

// notInTexts are the characters that names of texts do not have, because the name
// becomes a part of data.source.
var notInTexts = regexp.MustCompile(`[^A-Za-z0-9]+`)

// keepText moves files of text to the texts.
func (w *worker) keepText(ctx context.Context, dir, name string) (any, error) {
	found, err := text.Find(ctx, dir)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil || len(found) == 0:
		return nil, errors.New("it is neither a model (config.json and its other files, a zip of them, or a .gguf) nor text (.txt, .md, .jsonl, also as .gz)")
	}
	for _, f := range found {
		for _, err := range text.Documents(ctx, f.Path, 0, text.Options{}) {
			if err != nil {
				return nil, err
			}
			break // the first document tells a text from what only has its name
		}
	}
	if len(found) == 1 && text.FormatOf(found[0].Path) != text.JSONLines {
		if err := cutSmall(ctx, found[0].Path); err != nil {
			return nil, err
		}
	}
	base := strings.Trim(notInTexts.ReplaceAllString(strings.TrimSuffix(name, filepath.Ext(name)), "-"), "-")
	name = w.freeName(base[:min(len(base), 30)])
	if err := w.forgetTokens(name); err != nil {
		return nil, err
	}
	if err := place(dir, filepath.Join(w.texts(), name)); err != nil {
		return nil, err
	}
	return w.describe(name)
}

// forgetTokens removes what was made of an earlier text of a name.
func (w *worker) forgetTokens(name string) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil // nothing was kept
	}
	old, err := filepath.Glob(filepath.Join(cache, "bitnet", "text", name+"-????????????"))
	if err != nil {
		return err
	}
	for _, dir := range old {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}
