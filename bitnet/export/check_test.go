package export

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/modelfile/gguf"
	"bitnet/bitnet/modelfile/modelfiletest"
	"bitnet/bitnet/modelfile/safetensors"
)

// damaged lets the next exports of a test find what they wrote changed before
// they check it.
func damaged(t *testing.T, damage func(path string)) {
	t.Helper()
	before := written
	written = damage
	t.Cleanup(func() { written = before })
}

// change changes one byte of a file.
func change(t *testing.T, path string, at int64, to func(byte) byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	b[at] = to(b[at])
	require.NoError(t, os.WriteFile(path, b, 0o644))
}

// place is where the bytes of a tensor lie in a file, of either kind.
type place struct {
	name      string
	at, bytes int64
}

// places lists the tensors of what was written.
func places(t *testing.T, path string) []place {
	t.Helper()
	var list []place
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, modelfile.WeightsName)
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		begin := int64(8 + binary.LittleEndian.Uint64(raw))
		f, err := safetensors.Open(path)
		require.NoError(t, err)
		defer f.Close()
		for _, i := range f.Tensors() {
			list = append(list, place{i.Name, begin + i.Offset, i.Size})
		}
		return list
	}
	f, err := gguf.Open(path)
	require.NoError(t, err)
	defer f.Close()
	end, size := int64(0), int64(0)
	for _, i := range f.Tensors() {
		end = max(end, i.Offset+(i.Size+31)/32*32)
	}
	info, err := os.Stat(path)
	require.NoError(t, err)
	size = info.Size()
	for _, i := range f.Tensors() {
		p := place{i.Name, size - end + i.Offset, i.Size}
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		stored, err := f.Bytes(i.Name)
		require.NoError(t, err)
		require.Equal(t, stored, raw[p.at:p.at+p.bytes])
		list = append(list, p)
	}
	return list
}

// forms are the ways to export, and the file that holds the weights.
var forms = []struct{ name, format, typ, weights string }{
	{"hf", "hf", "", modelfile.WeightsName},
	{"hf-packed", "hf-packed", "", modelfile.WeightsName},
	{"gguf f32", "gguf", "f32", ""},
	{"gguf f16", "gguf", "f16", ""},
}

// refused exports with --check and expects that nothing is left of it.
func refused(t *testing.T, format, typ string) error {
	t.Helper()
	parent := t.TempDir()
	out := filepath.Join(parent, "x")
	if format == "gguf" {
		out += ".gguf"
	}
	dir := modelfiletest.Dir(t, false, nil)
	_, err := Export(t.Context(), dir, Options{Format: format, Type: typ, Out: out, Check: true})
	require.Error(t, err)
	require.NotContains(t, err.Error(), "\n")
	entries, readErr := os.ReadDir(parent)
	require.NoError(t, readErr)
	require.Empty(t, entries, "what is not the model is removed")
	return err
}

// One changed code among all that was written is found, with its tensor.
func TestCheckFindsAChangedCode(t *testing.T) {
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			damaged(t, func(path string) {
				for _, p := range places(t, path) {
					if p.name != modelfiletest.Projection && p.name != ggufName(modelfiletest.Projection)+".weight" {
						continue
					}
					file := filepath.Join(path, form.weights)
					switch form.format {
					case "hf-packed": // -1 becomes 0, 0 or 1 becomes another of the three
						change(t, file, p.at+5, func(b byte) byte { return b&^3 | (b&3+1)%3 })
					default: // the sign of a value
						width := int64(4)
						if form.typ == "f16" {
							width = 2
						}
						raw, err := os.ReadFile(file)
						require.NoError(t, err)
						at := p.at // of a value that is far from 0
						for i := p.at; i < p.at+p.bytes; i += width {
							if raw[i+width-1]&0x7f > raw[at+width-1]&0x7f {
								at = i
							}
						}
						change(t, file, at+width-1, func(b byte) byte { return b ^ 0x80 })
					}
					return
				}
				t.Error("there is no such projection")
			})
			require.ErrorContains(t, refused(t, form.format, form.typ), "tensor "+modelfiletest.Projection+" has different ternary weights")
		})
	}
}

// One byte that changes between writing and checking is found, wherever it
// belongs to a tensor.
func TestCheckFindsAFlippedByte(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			var all []place
			damaged(t, func(path string) { all = places(t, path) })
			out := filepath.Join(t.TempDir(), "x.gguf")
			_, err := Export(t.Context(), modelfiletest.Dir(t, false, nil), Options{Format: form.format, Type: form.typ, Out: out, Check: true})
			require.NoError(t, err)
			require.Greater(t, len(all), 10)
			for _, p := range all {
				at := p.at + rng.Int64N(p.bytes)
				bit := byte(1) << rng.IntN(8)
				t.Run(fmt.Sprintf("%s at %d of %d, %#02x", p.name, at-p.at, p.bytes, bit), func(t *testing.T) {
					damaged(t, func(path string) {
						change(t, filepath.Join(path, form.weights), at, func(b byte) byte { return b ^ bit })
					})
					refused(t, form.format, form.typ)
				})
			}
		})
	}
}

// What lies beside the weights is checked as well.
func TestCheckFindsOtherFiles(t *testing.T) {
	for want, row := range map[string]struct {
		file     string
		old, new string
	}{
		"the configuration differs: rope_theta is 10001, not 10000": {"config.json", `"rope_theta": 10000`, `"rope_theta": 10001`},
		"the tokenizer has the hash":                                {"tokenizer.json", `"b"`, `"B"`},
		"reading the export again":                                  {"config.json", `"bitnet"`, `"bitten"`},
		"there is no":                                               {modelfile.WeightsName, "", ""}, // it is gone
		"differs from the model and was removed":                    {"tokenizer.json", "", ""},
	} {
		t.Run(want, func(t *testing.T) {
			damaged(t, func(path string) {
				file := filepath.Join(path, row.file)
				if row.old == "" {
					require.NoError(t, os.Remove(file))
					return
				}
				text, err := os.ReadFile(file)
				require.NoError(t, err)
				require.Contains(t, string(text), row.old)
				require.NoError(t, os.WriteFile(file, []byte(strings.Replace(string(text), row.old, row.new, 1)), 0o644))
			})
			require.ErrorContains(t, refused(t, "hf", ""), want)
		})
	}
}

// What cannot be read again, and what a comparison beside the weights finds, is
// an error; without Check and Verify nothing is read.
func TestRereadFails(t *testing.T) {
	w, err := modelfile.ReadWeights(modelfiletest.Dir(t, false, nil))
	require.NoError(t, err)
	good := func() (*modelfile.Weights, error) { return w, nil }
	gone := errors.New("gone")
	e := &exporter{Options: Options{Check: true}, weights: w}
	require.NoError(t, e.reread(good, func() error { return nil }))
	require.ErrorIs(t, e.reread(good, func() error { return gone }), gone)
	require.ErrorIs(t, e.reread(func() (*modelfile.Weights, error) { return nil, gone }, func() error { return nil }), gone)
	e = &exporter{Options: Options{Verify: true}, weights: w}
	require.ErrorIs(t, e.reread(func() (*modelfile.Weights, error) { return nil, gone }, func() error { return nil }), gone)
	e = &exporter{weights: w}
	require.NoError(t, e.reread(func() (*modelfile.Weights, error) { return nil, gone }, func() error { return gone }))
}
