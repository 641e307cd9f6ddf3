package modelfile

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bitnet/bitnet/modelfile/safetensors"
)

const (
	WeightsName = "model.safetensors"
	indexName   = WeightsName + ".index.json"
)

// ScaleName is the name of a packed projection's scale.
func ScaleName(weight string) string { return strings.TrimSuffix(weight, ".weight") + ".weight_scale" }

// Tensors are the safetensors files of a model directory.
type Tensors struct {
	path string
	open []*safetensors.File
	of   map[string]tensorFile // by tensor

	subNorms bool // sub-norms have gains of one, and no file holds them
}

type tensorFile struct {
	*safetensors.File
	path string
}

// OpenTensors opens the file at path, or if it is missing, the files that the index next to it names.
func OpenTensors(path string) (*Tensors, error) {
	dir := filepath.Dir(path)
	names, index, err := weightFiles(path)
	if err != nil {
		return nil, err
	}
	t := &Tensors{path: path, of: map[string]tensorFile{}}
	for _, name := range names {
		path := filepath.Join(dir, name)
		f, err := safetensors.Open(path)
		if err != nil {
			t.Close()
			return nil, err
		}
		t.open = append(t.open, f)
		for _, info := range f.Tensors() {
			if index != nil && index[info.Name] != name {
				t.Close()
				return nil, fmt.Errorf("%s: tensor %.80q is not where %s says", path, info.Name, indexName)
			}
			t.of[info.Name] = tensorFile{f, path}
		}
	}
	return t, nil
}

func (t *Tensors) Close() {
	for _, f := range t.open {
		f.Close()
	}
}

// names are the tensors of all files, in order.
func (t *Tensors) names() []string { return slices.Sorted(maps.Keys(t.of)) }

// check compares what a file says of a tensor with the architecture, before
// anything is allocated for it.
func (t *Tensors) check(want TensorShape, packed bool) error {
	if !packed || !want.Ternary {
		return t.CheckFloats(want.Name, want.Shape)
	}
	rows, cols := want.Shape[0], want.Shape[1]
	if rows%4 != 0 {
		return fmt.Errorf("tensor %s has %d rows, which is not a multiple of 4: it cannot be packed", want.Name, rows)
	}
	if err := t.CheckFloats(ScaleName(want.Name), []int{1}); err != nil {
		return err
	}
	return t.checkOne(want.Name, []int{rows / 4, cols}, "U8")
}

func (t *Tensors) CheckFloats(name string, shape []int) error {
	if t.subNorms && isSubNorm(name) {
		return nil
	}
	return t.checkOne(name, shape, "F32", "BF16", "F16", "F64")
}

func (t *Tensors) checkOne(name string, shape []int, dtypes ...string) error {
	f, ok := t.of[name]
	if !ok {
		return fmt.Errorf("%s: tensor %s is missing: the model is incomplete, or its configuration is that of a different model", t.path, name)
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

// Elements is how many elements a tensor has, which must be there.
func (t *Tensors) Elements(name string) int {
	info, _ := t.of[name].Info(name)
	return info.Elements()
}

// Floats reads a tensor of finite numbers into dst, which has its size.
func (t *Tensors) Floats(name string, dst []float32) error {
	if t.subNorms && isSubNorm(name) {
		for i := range dst {
			dst[i] = 1
		}
		return nil
	}
	f := t.of[name]
	if err := f.Float32s(name, dst); err != nil {
		return err
	}
	return checkFinite(f.path, name, dst)
}

// checkFinite reports an element of a tensor that is not a finite number.
func checkFinite(path, name string, values []float32) error {
	const block = 1 << 16
	blocks := (len(values) + block - 1) / block
	bad := make([]bool, blocks)
	part := func(b int) []float32 { return values[b*block : min((b+1)*block, len(values))] }
	each(blocks, func(b int) { bad[b] = !finite(part(b)) })
	for b := range blocks {
		if !bad[b] {
			continue
		}
		for i, v := range part(b) {
			if v-v != 0 {
				return fmt.Errorf("%s: tensor %s holds %v at element %d", path, name, v, b*block+i)
			}
		}
	}
	return nil
}

// finite reports whether all values are finite numbers. What is not makes a sum of
// zeros something else than zero; there are four sums, which do not wait for each other.
func finite(values []float32) bool {
	var s0, s1, s2, s3 float32
	whole := len(values) / 4 * 4
	for i := 0; i < whole; i += 4 {
		v := values[i:][:4]
		s0 += v[0] - v[0]
		s1 += v[1] - v[1]
		s2 += v[2] - v[2]
		s3 += v[3] - v[3]
	}
	for _, v := range values[whole:] {
		s0 += v - v
	}
	return s0+s1+s2+s3 == 0
}

// packed reads transformers' packed form: bits 2i, 2i+1 of byte [r, c] of
// U8 [out/4, in] hold the weight [i*out/4 + r, c] + 1, and the scale is the
// absmean, which multiplies.
func (t *Tensors) packed(want TensorShape) (*TernaryMatrix, error) {
	f := t.of[want.Name]
	var scale [1]float32
	if err := t.Floats(ScaleName(want.Name), scale[:]); err != nil {
		return nil, err
	}
	if !(scale[0] > 0) {
		return nil, fmt.Errorf("%s: tensor %s is %v: it must be positive", f.path, ScaleName(want.Name), scale[0])
	}
	raw, err := f.Bytes(want.Name)
	if err != nil {
		return nil, err
	}
	for i, b := range raw {
		if b&(b>>1)&0b01010101 != 0 {
			return nil, fmt.Errorf("%s: tensor %s: byte %d is %#02x, which holds a weight other than -1, 0 and 1", f.path, want.Name, i, b)
		}
	}
	m := NewTernaryMatrix(want.Shape[0], want.Shape[1])
	m.Scale = scale[0]
	quarter := m.Rows / 4
	each(quarter, func(r int) {
		codes := make([]byte, m.Cols)
		for part := range 4 {
			for k, b := range raw[r*m.Cols:][:m.Cols] {
				codes[k] = b >> (2 * part) & 3
			}
			m.SetRow(part*quarter+r, codes)
		}
	})
	return m, nil
}

// checkHead allows an output head in addition to the embedding only if it is the same table.
func (t *Tensors) checkHead(embedding []float32) error {
	f, ok := t.of[headName]
	if !ok {
		return nil
	}
	if t.Elements(headName) == len(embedding) {
		head := make([]float32, len(embedding))
		if err := t.Floats(headName, head); err != nil || slices.Equal(head, embedding) {
			return err
		}
	}
	return fmt.Errorf("%s: %s is not the embedding; this program has one table for both ends", f.path, headName)
}

// weightFiles gives the file at path, or if it is missing, the files that the
// index next to it names; index says which tensor is in which.
func weightFiles(path string) (names []string, index map[string]string, err error) {
	if _, err := os.Stat(path); err == nil {
		return []string{filepath.Base(path)}, nil, nil
	}
	missing := path
	path += ".index.json"
	var f struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	err = readJSON(path, &f)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("there is no %s, nor an index of several files next to it", missing)
	}
	if err != nil {
		return nil, nil, err
	}
	for tensor, name := range f.WeightMap {
		// A file of the folder itself, whatever a stranger's index says.
		if name != filepath.Base(name) || !filepath.IsLocal(name) || strings.ContainsAny(name, `/\:`) || !strings.HasSuffix(name, ".safetensors") {
			return nil, nil, fmt.Errorf("%s: tensor %.80q is in %.80q according to the index, which is not a .safetensors file of the folder", path, tensor, name)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) == 0 {
		return nil, nil, fmt.Errorf("%s: it has no weight_map", path)
	}
	return names, f.WeightMap, nil
}
