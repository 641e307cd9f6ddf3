package bitnet

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"bitnet/bitnet/safetensors"
)

// TernaryMatrix is a quantised projection [Rows, Cols]: value = (code-1) * Scale.
type TernaryMatrix struct {
	Rows, Cols int
	// Codes are 2 bits each, row-major: element k of a row is in byte k/4 at
	// bits 2*(k%4), value w+1. Each row starts on a byte, (Cols+3)/4 bytes a
	// row; past Cols stands code 1, a zero.
	Codes []byte
	Scale float32 // mean |w| of the masters
}

// Stride is the bytes of a row.
func (m *TernaryMatrix) Stride() int { return (m.Cols + 3) / 4 }

// Row writes the weights -1, 0 and 1 of a row into dst, which has Cols elements.
func (m *TernaryMatrix) Row(row int, dst []int8) {
	codes := m.Codes[row*m.Stride():][:m.Stride()]
	for k := range dst[:m.Cols] {
		dst[k] = int8(codes[k/4]>>(2*(k%4))&3) - 1
	}
}

func newTernaryMatrix(rows, cols int) *TernaryMatrix {
	m := &TernaryMatrix{Rows: rows, Cols: cols}
	m.Codes = make([]byte, rows*m.Stride())
	return m
}

// setRow stores the codes of a row, 0 to 2, one an element.
func (m *TernaryMatrix) setRow(row int, codes []byte) {
	out := m.Codes[row*m.Stride():][:m.Stride()]
	whole := len(codes) / 4
	for i := range whole {
		c := codes[4*i:][:4]
		out[i] = c[0] | c[1]<<2 | c[2]<<4 | c[3]<<6
	}
	if whole < len(out) {
		last := [4]byte{1, 1, 1, 1}
		copy(last[:], codes[4*whole:])
		out[whole] = last[0] | last[1]<<2 | last[2]<<4 | last[3]<<6
	}
}

// Quantize rounds masters w [rows, cols] to ternary, as the training kernels
// do (absmean, arXiv 2402.17764): s = max(mean|w|, 1e-5), the weights are
// clamp(round(w / s), -1, 1) with ties to even. The mean is summed in float64.
func Quantize(w []float32, rows, cols int) *TernaryMatrix {
	sums := make([]float64, rows)
	each(rows, func(r int) {
		for _, v := range w[r*cols:][:cols] {
			sums[r] += math.Abs(float64(v))
		}
	})
	sum := 0.0
	for _, v := range sums {
		sum += v
	}
	m := newTernaryMatrix(rows, cols)
	m.Scale = float32(max(sum/float64(len(w)), 1e-5))
	s := 1 / m.Scale
	each(rows, func(r int) {
		codes := make([]byte, cols)
		for k, v := range w[r*cols:][:cols] {
			// From 2^23 to 2^24 floats are the integers, so that adding rounds,
			// to even, and the bits count: no branch that depends on a weight.
			const base = 3 << 22
			codes[k] = byte(math.Float32bits(min(max(v*s, -1), 1)+base) - math.Float32bits(base) + 1)
		}
		m.setRow(r, codes)
	})
	return m
}

// Weights are a model's weights on the host, as inference and the exporters
// want them. Keys are transformers' names, such as
// model.layers.0.self_attn.q_proj.weight.
type Weights struct {
	Config  ModelConfig
	Float   map[string][]float32 // embedding [vocab, hidden] and norms
	Ternary map[string]*TernaryMatrix
}

const (
	embeddingName = "model.embed_tokens.weight"
	finalNormName = "model.norm.weight"
	headName      = "lm_head.weight"
)

// layerName is the name of a layer's tensor, such as mlp.up_proj.
func layerName(layer int, tensor string) string {
	return fmt.Sprintf("model.layers.%d.%s.weight", layer, tensor)
}

// tensorShape is one tensor of the architecture.
type tensorShape struct {
	name    string
	shape   []int
	ternary bool
}

// tensors lists every tensor of the architecture, in the order of the forward pass.
func (c ModelConfig) tensors() []tensorShape {
	h, f, kv := c.HiddenSize, c.IntermediateSize, c.HiddenSize/c.Heads*c.KVHeads
	all := []tensorShape{{embeddingName, []int{c.VocabSize, h}, false}}
	for i := range c.Layers {
		norm := func(name string, width int) {
			all = append(all, tensorShape{layerName(i, name), []int{width}, false})
		}
		projection := func(name string, rows, cols int) {
			all = append(all, tensorShape{layerName(i, name), []int{rows, cols}, true})
		}
		norm("input_layernorm", h)
		projection("self_attn.q_proj", h, h)
		projection("self_attn.k_proj", kv, h)
		projection("self_attn.v_proj", kv, h)
		norm("self_attn.attn_sub_norm", h)
		projection("self_attn.o_proj", h, h)
		norm("post_attention_layernorm", h)
		projection("mlp.gate_proj", f, h)
		projection("mlp.up_proj", f, h)
		norm("mlp.ffn_sub_norm", f)
		projection("mlp.down_proj", h, f)
	}
	return append(all, tensorShape{finalNormName, []int{h}, false})
}

// ReadWeights reads a transformers BitNet directory, in one file or several:
// float masters (F32, F16 or BF16), which are quantised here, or the packed
// form. Every tensor must be there with its shape and finite numbers, and no
// other.
func ReadWeights(dir string) (*Weights, error) {
	c, err := readHFConfig(dir)
	if err != nil {
		return nil, err
	}
	files, err := openTensors(filepath.Join(dir, weightsName))
	if err != nil {
		return nil, err
	}
	defer files.close()
	packed := c.packed()
	all := c.tensors()
	known := map[string]bool{headName: true}
	for _, t := range all {
		known[t.name] = true
		known[scaleName(t.name)] = packed && t.ternary
		if err := files.check(t, packed); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files.of)) {
		if !known[name] {
			return nil, fmt.Errorf("%s: tensor %.80q is none of this architecture's; is it another model?", files.of[name].path, name)
		}
	}
	w := &Weights{Config: c.ModelConfig, Float: map[string][]float32{}, Ternary: map[string]*TernaryMatrix{}}
	for _, t := range all {
		if packed && t.ternary {
			if w.Ternary[t.name], err = files.packed(t); err != nil {
				return nil, err
			}
			continue
		}
		values := make([]float32, files.elements(t.name))
		if err := files.floats(t.name, values); err != nil {
			return nil, err
		}
		if t.ternary {
			w.Ternary[t.name] = Quantize(values, t.shape[0], t.shape[1])
		} else {
			w.Float[t.name] = values
		}
	}
	return w, files.checkHead(w.Float[embeddingName])
}

// scaleName is the name of a packed projection's scale.
func scaleName(weight string) string { return strings.TrimSuffix(weight, ".weight") + ".weight_scale" }

// tensorFiles are the safetensors files of a model directory.
type tensorFiles struct {
	path string
	open []*safetensors.File
	of   map[string]tensorFile // by tensor
}

type tensorFile struct {
	*safetensors.File
	path string
}

// openTensors opens the file at path, or where it is missing the files that the index beside it names.
func openTensors(path string) (*tensorFiles, error) {
	dir := filepath.Dir(path)
	names, index, err := weightFiles(path)
	if err != nil {
		return nil, err
	}
	t := &tensorFiles{path: path, of: map[string]tensorFile{}}
	for _, name := range names {
		path := filepath.Join(dir, name)
		f, err := safetensors.Open(path)
		if err != nil {
			t.close()
			return nil, err
		}
		t.open = append(t.open, f)
		for _, info := range f.Tensors() {
			if index != nil && index[info.Name] != name {
				t.close()
				return nil, fmt.Errorf("%s: tensor %.80q is not where %s says", path, info.Name, indexName)
			}
			t.of[info.Name] = tensorFile{f, path}
		}
	}
	return t, nil
}

func (t *tensorFiles) close() {
	for _, f := range t.open {
		f.Close()
	}
}

// check compares what a file says of a tensor with the architecture, before
// anything is allocated for it.
func (t *tensorFiles) check(want tensorShape, packed bool) error {
	if !packed || !want.ternary {
		return t.checkFloats(want.name, want.shape)
	}
	rows, cols := want.shape[0], want.shape[1]
	if rows%4 != 0 {
		return fmt.Errorf("tensor %s has %d rows, which is not a multiple of 4: it cannot be packed", want.name, rows)
	}
	if err := t.checkFloats(scaleName(want.name), []int{1}); err != nil {
		return err
	}
	return t.checkOne(want.name, []int{rows / 4, cols}, "U8")
}

func (t *tensorFiles) checkFloats(name string, shape []int) error {
	return t.checkOne(name, shape, "F32", "BF16", "F16", "F64")
}

func (t *tensorFiles) checkOne(name string, shape []int, dtypes ...string) error {
	f, ok := t.of[name]
	if !ok {
		return fmt.Errorf("%s: tensor %s is missing: the model is incomplete, or its configuration is of another one", t.path, name)
	}
	info, _ := f.Info(name)
	if !slices.Equal(info.Shape, shape) {
		return fmt.Errorf("%s: tensor %s has shape %v, the configuration wants %v", f.path, name, info.Shape, shape)
	}
	if !slices.Contains(dtypes, info.DType) {
		return fmt.Errorf("%s: tensor %s is %s, the configuration wants %s", f.path, name, info.DType, strings.Join(dtypes, ", "))
	}
	return nil
}

// elements is how many elements a tensor has, which must be there.
func (t *tensorFiles) elements(name string) int {
	info, _ := t.of[name].Info(name)
	return info.Elements()
}

// floats reads a tensor of finite numbers into dst, which has its size.
func (t *tensorFiles) floats(name string, dst []float32) error {
	f := t.of[name]
	if err := f.Float32s(name, dst); err != nil {
		return err
	}
	return checkFinite(f.path, name, dst)
}

// checkFinite says which element of a tensor is no finite number.
func checkFinite(path, name string, values []float32) error {
	for i, v := range values {
		if v-v != 0 {
			return fmt.Errorf("%s: tensor %s holds %v at element %d", path, name, v, i)
		}
	}
	return nil
}

// packed reads transformers' packed form: bits 2i, 2i+1 of byte [r, c] of
// U8 [out/4, in] hold the weight [i*out/4 + r, c] + 1, and the scale is the
// absmean, which multiplies.
func (t *tensorFiles) packed(want tensorShape) (*TernaryMatrix, error) {
	f := t.of[want.name]
	var scale [1]float32
	if err := t.floats(scaleName(want.name), scale[:]); err != nil {
		return nil, err
	}
	if !(scale[0] > 0) {
		return nil, fmt.Errorf("%s: tensor %s is %v: it must be positive", f.path, scaleName(want.name), scale[0])
	}
	raw, err := f.Bytes(want.name)
	if err != nil {
		return nil, err
	}
	for i, b := range raw {
		if b&(b>>1)&0b01010101 != 0 {
			return nil, fmt.Errorf("%s: tensor %s: byte %d is %#02x, which holds a weight that is none of -1, 0 and 1", f.path, want.name, i, b)
		}
	}
	m := newTernaryMatrix(want.shape[0], want.shape[1])
	m.Scale = scale[0]
	quarter := m.Rows / 4
	each(quarter, func(r int) {
		codes := make([]byte, m.Cols)
		for part := range 4 {
			for k, b := range raw[r*m.Cols:][:m.Cols] {
				codes[k] = b >> (2 * part) & 3
			}
			m.setRow(part*quarter+r, codes)
		}
	})
	return m, nil
}

// checkHead allows an output head beside the embedding only if it is the same table.
func (t *tensorFiles) checkHead(embedding []float32) error {
	f, ok := t.of[headName]
	if !ok {
		return nil
	}
	if t.elements(headName) == len(embedding) {
		head := make([]float32, len(embedding))
		if err := t.floats(headName, head); err != nil || slices.Equal(head, embedding) {
			return err
		}
	}
	return fmt.Errorf("%s: %s is not the embedding; this program has one table for both ends", f.path, headName)
}
