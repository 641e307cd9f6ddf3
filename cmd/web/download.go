package main

import (
	"archive/zip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"bitnet/bitnet/export"
	"bitnet/data/tokenizer"
)

// Forms of a download.
const (
	formFolder     = "folder"
	formGGUF       = "gguf"
	formCheckpoint = "checkpoint"
)

// modelFiles are patterns of the files of a model's folder; config.yaml says what data it was
// trained on, for bitnet eval.
var modelFiles = []string{
	"config.json", "model*.safetensors", "model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json",
	"special_tokens_map.json", "chat_template.jinja", "config.yaml",
}

func giveDownload(ctx context.Context, c *call) (any, error) {
	dir, err := c.checkpoint(c.Run)
	if err != nil {
		return nil, err
	}
	var data pieces
	name := c.Run + ".zip"
	switch c.Form {
	case formFolder:
		err = zipFolder(ctx, &data, dir, c.Run, modelFiles)
	case formCheckpoint:
		name = c.Run + "-checkpoint.zip"
		err = zipFolder(ctx, &data, dir, c.Run, nil)
	case formGGUF:
		name = c.Run + ".gguf"
		err = c.gguf(ctx, &data, dir)
	default:
		err = fmt.Errorf("a model cannot be downloaded as %q: choose %s, %s or %s", c.Form, formFolder, formGGUF, formCheckpoint)
	}
	if err != nil {
		return nil, err
	}
	return delivery{map[string]any{"name": name}, []attachment{{field: "file", blob: true, data: data}}}, nil
}

// pieces is what was written, in pieces of which none is copied when more come.
type pieces [][]byte

const piece = 4 << 20

func (p *pieces) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		last := len(*p) - 1
		if last < 0 || len((*p)[last]) == cap((*p)[last]) {
			*p = append(*p, make([]byte, 0, piece))
			last++
		}
		n := min(cap((*p)[last])-len((*p)[last]), len(rest))
		(*p)[last] = append((*p)[last], rest[:n]...)
		rest = rest[n:]
	}
	return len(b), nil
}

// zipFolder packs the files of a folder whose names match, or all of them for nil, under the name of
// a folder. They are stored: weights do not get smaller.
func zipFolder(ctx context.Context, to io.Writer, dir, name string, only []string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	z := zip.NewWriter(to)
	for _, e := range entries {
		if !e.Type().IsRegular() || only != nil && !slices.ContainsFunc(only, func(p string) bool { ok, _ := filepath.Match(p, e.Name()); return ok }) {
			continue
		}
		w, err := z.CreateHeader(&zip.FileHeader{Name: name + "/" + e.Name(), Method: zip.Store})
		if err != nil {
			return err
		}
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		_, err = io.Copy(w, readerWith{ctx, f})
		f.Close()
		if err != nil {
			return err
		}
	}
	return z.Close()
}

// gguf exports a model for llama.cpp.
func (c *call) gguf(ctx context.Context, to io.Writer, dir string) error {
	if _, err := tokenizer.Load(dir); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(c.scratch(), "export-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	path := filepath.Join(tmp, "model.gguf")
	if _, err := export.Export(ctx, dir, export.Options{Format: "gguf", Out: path, RunsDir: c.runs(), Note: c.note}); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(to, readerWith{ctx, f})
	return err
}
