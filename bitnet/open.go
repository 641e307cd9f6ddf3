package bitnet

import (
	"context"
	"encoding/binary"
	"fmt"

	"bitnet/data/tokenizer"
	"bitnet/gpu"
	"bitnet/graph"
	"bitnet/shaders"
)

// Opened is a model on a device, for use and not for training: its ternary
// weights are there in two bits each, without their float masters.
type Opened struct {
	*Model
	Dir       string // of the model's files
	Tokenizer *tokenizer.Tokenizer
}

// Open loads a run's newest checkpoint, a checkpoint, a model directory or
// ORG/NAME of the hub: see ResolveModel.
func Open(ctx context.Context, dev *gpu.Device, path string, note func(string)) (*Opened, error) {
	dir, err := ResolveModel(ctx, path, note)
	if err != nil {
		return nil, err
	}
	w, err := ReadWeights(dir)
	if err != nil {
		return nil, err
	}
	o := &Opened{Dir: dir}
	if o.Tokenizer, err = tokenizer.Load(dir); err != nil {
		return nil, err
	}
	if n := o.Tokenizer.Size(); n > w.Config.VocabSize {
		return nil, fmt.Errorf("%s: the tokenizer has %d tokens, the model %d", dir, n, w.Config.VocabSize)
	}
	if o.Model, err = w.load(dev); err != nil {
		return nil, fmt.Errorf("loading %s: %w", dir, err)
	}
	return o, nil
}

// newForUse is a model on a device with room for its ternary weights alone.
func newForUse(c ModelConfig, dev *gpu.Device) (*Model, error) {
	m := NewModel(c, dev.Adapter())
	if err := m.Params.LayoutTernary(); err != nil {
		return nil, err
	}
	if err := m.Params.Allocate(dev); err != nil {
		m.Params.Release()
		return nil, err
	}
	return m, nil
}

// load puts weights onto a device.
func (w *Weights) load(dev *gpu.Device) (*Model, error) {
	m, err := newForUse(w.Config, dev)
	if err != nil {
		return nil, err
	}
	for _, p := range m.Params.All() {
		for i, part := range p.Parts {
			var err error
			if t := w.Ternary[part.Name]; t != nil {
				err = p.WriteTernary(i, t.words(), t.Scale)
			} else {
				err = p.Write(graph.Master, w.Float[part.Name])
			}
			if err != nil {
				m.Params.Release()
				return nil, err
			}
		}
	}
	return m, nil
}

// words are the codes as the kernels want them: 16 a word, rows padded to whole words.
func (m *TernaryMatrix) words() []uint32 {
	per, stride := shaders.Words16(m.Cols), m.Stride()
	out := make([]uint32, m.Rows*per)
	var word [4]byte
	for r := range m.Rows {
		row := m.Codes[r*stride:][:stride]
		for i := range per {
			clear(word[:])
			copy(word[:], row[4*i:])
			out[r*per+i] = binary.LittleEndian.Uint32(word[:])
		}
	}
	return out
}
