package export

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/modelfile/gguf"
	"bitnet/data/atomicfile"
)

// ggufType is one way to store the projections of a GGUF file.
type ggufType struct {
	tensor   gguf.Type
	file     uint32             // general.file_type
	rounding modelfile.Rounding // of activations in llama.cpp with such weights
}

var ggufTypes = map[string]ggufType{
	"f32":   {gguf.F32, 0, modelfile.Unrounded},
	"f16":   {gguf.F16, 1, modelfile.Halves},
	"q4_0":  {gguf.Q4_0, 2, modelfile.Blocks32},
	"tq1_0": {gguf.TQ1_0, 36, modelfile.Blocks256},
	"tq2_0": {gguf.TQ2_0, 37, modelfile.Blocks256},
}

// Types lists the types of projections in a GGUF file.
var Types = []string{"f32", "f16", "tq2_0", "tq1_0", "q4_0"}

// halfEmbedding reports whether the embedding is rounded to F16, as llama.cpp's
// own files have it.
func (e *exporter) halfEmbedding() bool { return e.done.Type != "" && e.done.Type != "f32" }

// chooseType checks the type that was asked for, or takes the smallest and
// fastest that the widths of the projections allow.
func (e *exporter) chooseType() error {
	fits := func(name string) bool {
		block := ggufTypes[name].tensor.Block()
		return e.config.HiddenSize%block == 0 && e.config.IntermediateSize%block == 0
	}
	if e.Type == "" && e.Float {
		e.done.Type = "f16"
		return nil
	}
	if e.Type == "" {
		for _, name := range []string{"tq2_0", "q4_0", "f16"} {
			if fits(name) {
				e.done.Type = name
				return nil
			}
		}
	}
	t, ok := ggufTypes[e.Type]
	if !ok {
		return fmt.Errorf("--type %s: choose one of %s", e.Type, strings.Join(Types, ", "))
	}
	if !fits(e.Type) {
		instead := "f16"
		if fits("q4_0") {
			instead = "q4_0"
		}
		return fmt.Errorf("--type %s needs hidden_size %d and intermediate_size %d to be multiples of %d: use --type %s",
			e.Type, e.config.HiddenSize, e.config.IntermediateSize, t.tensor.Block(), instead)
	}
	e.done.Type = e.Type
	return nil
}

// gguf writes a GGUF file and its Modelfile.
func (e *exporter) gguf() error {
	if err := e.chooseType(); err != nil {
		return err
	}
	if e.config.HiddenAct != "silu" {
		if !e.Force {
			return fmt.Errorf("hidden_act is %s, and llama.cpp computes silu for every model of this kind: its answers would be wrong; "+
				"export with --format hf, or add --force to write it anyway", e.config.HiddenAct)
		}
		e.Note(fmt.Sprintf("hidden_act is %s: a llama.cpp that computes silu gives wrong answers with this file", e.config.HiddenAct))
	}
	vocab, err := newGGUFVocab(e.tok, e.config.VocabSize, e.Note)
	if err != nil {
		return fmt.Errorf("%s: %w", e.dir, err)
	}
	path := e.Out
	if !strings.HasSuffix(path, ".gguf") {
		path = filepath.Join(path, "model.gguf")
	}
	dir := filepath.Dir(path)
	ollama := filepath.Join(dir, "Modelfile")
	if err := checkModelfile(ollama); err != nil {
		return err
	}
	// Its own folder keeps two exports to one file apart, and one that was killed is
	// swept up by the next.
	folder, err := atomicfile.CreateFolder(path)
	if err != nil {
		return fmt.Errorf("making the folder of --output: %w", err)
	}
	defer folder.Discard()
	tmp := filepath.Join(folder.Dir, filepath.Base(path))
	if err := e.writeGGUF(tmp, modelName(e.dir), vocab); err != nil {
		return err
	}
	written(tmp)
	var again *ggufVocab
	read := func() (w *modelfile.Weights, err error) {
		if w, again, err = readGGUF(tmp); err == nil {
			w.Config.HiddenAct = e.config.HiddenAct // which a GGUF file does not say
		}
		return w, err
	}
	rest := func() error { return vocab.compare(again) }
	if e.Float {
		err = e.rereadFloat(func() (f *modelfile.FloatModel, err error) {
			f, again, err = readFloatGGUF(tmp, e.config.HiddenAct)
			return f, err
		}, rest)
	} else {
		err = e.reread(read, rest)
	}
	if err != nil {
		return err
	}
	if err := atomicfile.Rename(tmp, path); err != nil {
		return fmt.Errorf("placing %s: %w", path, err)
	}
	e.wrote(path)
	if err := atomicfile.Write(ollama, e.ollama(filepath.Base(path), vocab)); err != nil {
		return fmt.Errorf("writing %s: %w", ollama, err)
	}
	e.wrote(ollama)
	return nil
}

// modelName names a model by its folder; a checkpoint by its run too.
func modelName(dir string) string {
	abs, err := filepath.Abs(dir)
	if err != nil {
		abs = dir
	}
	name := filepath.Base(abs)
	if up := filepath.Dir(abs); filepath.Base(up) == "checkpoints" {
		name = filepath.Base(filepath.Dir(up)) + " " + name
	}
	return strings.ToValidUTF8(name, "")
}

// ggufNames gives llama.cpp's names of a layer's tensors.
var ggufNames = map[string]string{
	"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
	"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
	"self_attn.o_proj": "attn_output", "self_attn.attn_sub_norm": "attn_sub_norm",
	"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "mlp.ffn_sub_norm": "ffn_sub_norm",
}

// ggufName is llama.cpp's name of a tensor, without its suffix.
func ggufName(name string) string {
	switch name {
	case modelfile.EmbeddingName:
		return "token_embd"
	case modelfile.FinalNormName:
		return "output_norm"
	}
	layer, tensor, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(name, "model.layers."), ".weight"), ".")
	return "blk." + layer + "." + ggufNames[tensor]
}

func (e *exporter) writeGGUF(path, name string, vocab *ggufVocab) error {
	c, t := e.config.Config, ggufTypes[e.done.Type]
	keys := append([]gguf.KeyValue{
		{Key: "general.architecture", Value: "bitnet"},
		{Key: "general.name", Value: name},
		{Key: "general.file_type", Value: t.file},
		{Key: "general.quantization_version", Value: uint32(2)},
		{Key: "bitnet.vocab_size", Value: uint32(c.VocabSize)},
		{Key: "bitnet.context_length", Value: uint32(c.MaxPositions)},
		{Key: "bitnet.embedding_length", Value: uint32(c.HiddenSize)},
		{Key: "bitnet.block_count", Value: uint32(c.Layers)},
		{Key: "bitnet.feed_forward_length", Value: uint32(c.IntermediateSize)},
		{Key: "bitnet.attention.head_count", Value: uint32(c.Heads)},
		{Key: "bitnet.attention.head_count_kv", Value: uint32(c.KVHeads)},
		{Key: "bitnet.attention.layer_norm_rms_epsilon", Value: float32(c.NormEps)},
		{Key: "bitnet.rope.freq_base", Value: float32(c.RopeTheta)},
		{Key: "bitnet.rope.dimension_count", Value: uint32(c.HiddenSize / c.Heads)},
	}, vocab.keys()...)
	var tensors []gguf.Tensor
	for _, s := range c.Tensors() {
		to := gguf.Tensor{Name: ggufName(s.Name) + ".weight", Type: gguf.F32, Shape: s.Shape}
		switch {
		case s.Ternary && e.Float:
			to.Type, to.Data = t.tensor, e.floatData(s.Name, t.tensor)
		case s.Ternary:
			m := e.weights.Ternary[s.Name]
			scale, apart := m.Scale, t.tensor != gguf.F32 && !e.ForLoRA
			if err := e.checkScale(s.Name, scale); err != nil {
				return err
			}
			if apart {
				scale = 1
			}
			to.Type, to.Data = t.tensor, func(w io.Writer) error { return writeTernary(w, m, t.tensor, scale) }
			if apart {
				tensors = append(tensors, ggufFloats(ggufName(s.Name)+".scale", []int{1}, []float32{m.Scale}))
			}
		case s.Name == modelfile.EmbeddingName && e.halfEmbedding():
			values := e.weights.Float[s.Name]
			to.Type, to.Data = gguf.F16, func(w io.Writer) error { return writeHalves(w, values) }
		default:
			to = ggufFloats(to.Name, to.Shape, e.weights.Float[s.Name])
		}
		tensors = append(tensors, to)
	}
	return gguf.Write(path, keys, tensors)
}

func ggufFloats(name string, shape []int, v []float32) gguf.Tensor {
	return gguf.Tensor{Name: name, Type: gguf.F32, Shape: shape, Data: func(w io.Writer) error {
		return binary.Write(w, binary.LittleEndian, v)
	}}
}

func writeHalves(w io.Writer, values []float32) error {
	buf := make([]byte, 0, 1<<16)
	for i, v := range values {
		h, err := half(v)
		if err != nil {
			return err
		}
		buf = binary.LittleEndian.AppendUint16(buf, h)
		if len(buf) == cap(buf) || i == len(values)-1 {
			if _, err := w.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	return nil
}

// half is the F16 nearest to v.
func half(v float32) (uint16, error) {
	h := gguf.Half(v)
	if h&0x7fff >= 0x7c00 {
		return 0, fmt.Errorf("%g is too large for F16: use --type f32", v)
	}
	return h, nil
}

// keptScale is what a file holds of a scale. With ForLoRA it is part of the weights,
// where all types but F32 have only a half for it: llama.cpp applies the scales next to
// them to the sum of a product and that of its adapter, or in later versions not.
func (e *exporter) keptScale(scale float32) float32 {
	if e.ForLoRA && e.done.Type != "f32" {
		return gguf.Float(gguf.Half(scale))
	}
	return scale
}

// checkScale refuses a scale that a half cannot hold well.
func (e *exporter) checkScale(name string, scale float32) error {
	if kept := e.keptScale(scale); math.Abs(float64(kept)/float64(scale)-1) > 1e-3 {
		return fmt.Errorf("the scale %g of %s does not fit the 16 bits that it has with --for-lora: use --type f32", scale, name)
	}
	return nil
}

// writeTernary writes the matrix with a scale. Types other than F32 can hold it only as a
// half, so that it is 1 where the scale is a tensor of its own.
func writeTernary(w io.Writer, m *modelfile.TernaryMatrix, t gguf.Type, scale float32) error {
	row, codes := make([]int8, m.Cols), make([]byte, m.Cols)
	var out []byte
	for r := range m.Rows {
		m.Row(r, row)
		for k, v := range row {
			codes[k] = byte(v + 1)
		}
		var err error
		if out, err = gguf.AppendTernary(out[:0], t, codes, scale); err != nil {
			return err
		}
		if _, err := w.Write(out); err != nil {
			return err
		}
	}
	return nil
}

// readGGUF reads a file that writeGGUF may have written; its hidden_act is not
// known.
func readGGUF(path string) (*modelfile.Weights, *ggufVocab, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	w, vocab, err := decodeGGUF(f)
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return w, vocab, err
}

func decodeGGUF(f *gguf.File) (*modelfile.Weights, *ggufVocab, error) {
	c, vocab, err := decodeGGUFKeys(f)
	if err != nil {
		return nil, nil, err
	}
	w := &modelfile.Weights{Config: c, Float: map[string][]float32{}, Ternary: map[string]*modelfile.TernaryMatrix{}}
	for _, s := range c.Tensors() {
		info, raw, err := ggufTensor(f, ggufName(s.Name)+".weight", s.Shape)
		if err != nil {
			return nil, nil, err
		}
		if s.Ternary {
			w.Ternary[s.Name], err = readGGUFTernary(f, ggufName(s.Name), info, raw)
		} else {
			w.Float[s.Name], err = ggufValues(info, raw)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %s: %w", info.Name, err)
		}
	}
	return w, vocab, nil
}

// decodeGGUFKeys reads what a file says of its model, and its tokens.
func decodeGGUFKeys(f *gguf.File) (modelfile.Config, *ggufVocab, error) {
	var c modelfile.Config
	if arch, _ := gguf.Value[string](f, "general.architecture"); arch != "bitnet" {
		return c, nil, fmt.Errorf("general.architecture is %.40q, but bitnet export reads only bitnet", arch)
	}
	var missing []string
	number := func(key string) int {
		v, ok := gguf.Value[uint32](f, "bitnet."+key)
		if !ok {
			missing = append(missing, "bitnet."+key)
		}
		return int(min(v, math.MaxInt32))
	}
	float := func(key string) float64 {
		v, ok := gguf.Value[float32](f, "bitnet."+key)
		if !ok {
			missing = append(missing, "bitnet."+key)
		}
		return shortest(v)
	}
	c = modelfile.Config{
		VocabSize: number("vocab_size"), HiddenSize: number("embedding_length"), IntermediateSize: number("feed_forward_length"),
		Layers: number("block_count"), Heads: number("attention.head_count"), KVHeads: number("attention.head_count_kv"),
		MaxPositions: number("context_length"), HiddenAct: "silu",
		NormEps: float("attention.layer_norm_rms_epsilon"), RopeTheta: float("rope.freq_base"),
	}
	if len(missing) > 0 {
		return c, nil, fmt.Errorf("the key %s is missing", missing[0])
	}
	if c.Heads < 1 || c.KVHeads < 1 {
		return c, nil, errors.New("it has no attention heads")
	}
	if err := c.Check(); err != nil {
		return c, nil, err
	}
	vocab, err := readGGUFVocab(f)
	if err != nil {
		return c, nil, err
	}
	return c, vocab, nil
}

// shortest is the number that was meant by a float32, such as 1e-5.
func shortest(v float32) float64 {
	d, _ := strconv.ParseFloat(strconv.FormatFloat(float64(v), 'g', -1, 32), 64)
	return d
}

func ggufTensor(f *gguf.File, name string, shape []int) (gguf.Info, []byte, error) {
	info, ok := f.Info(name)
	if !ok {
		return info, nil, fmt.Errorf("tensor %s is missing", name)
	}
	if fmt.Sprint(info.Shape) != fmt.Sprint(shape) {
		return info, nil, fmt.Errorf("tensor %s has shape %v, the keys want %v", name, info.Shape, shape)
	}
	raw, err := f.Bytes(name)
	return info, raw, err
}

func ggufValues(info gguf.Info, raw []byte) ([]float32, error) {
	var values []float32
	switch info.Type {
	case gguf.F32:
		values = make([]float32, len(raw)/4)
		if err := binary.Read(bytes.NewReader(raw), binary.LittleEndian, values); err != nil {
			return nil, err
		}
	case gguf.F16:
		values = make([]float32, len(raw)/2)
		for i := range values {
			values[i] = gguf.Float(binary.LittleEndian.Uint16(raw[2*i:]))
		}
	default:
		return nil, fmt.Errorf("its type is %v, want F32 or F16", info.Type)
	}
	for i, v := range values {
		if v-v != 0 {
			return nil, fmt.Errorf("element %d is %v", i, v)
		}
	}
	return values, nil
}

// readGGUFTernary reads a projection, of which all rows have one scale.
func readGGUFTernary(f *gguf.File, name string, info gguf.Info, raw []byte) (*modelfile.TernaryMatrix, error) {
	m := modelfile.NewTernaryMatrix(info.Shape[0], info.Shape[1])
	codes := make([]byte, m.Cols)
	size := info.Type.RowBytes(m.Cols)
	for r := range m.Rows {
		scale, err := gguf.Ternary(info.Type, raw[r*size:][:size], codes)
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", r, err)
		}
		if m.Scale != 0 && scale != 0 && scale != m.Scale {
			return nil, fmt.Errorf("row %d has the scale %g, those before it have %g", r, scale, m.Scale)
		}
		if scale != 0 {
			m.Scale = scale
		}
		m.SetRow(r, codes)
	}
	if _, ok := f.Info(name + ".scale"); !ok {
		return m, nil
	}
	scale, raw, err := ggufTensor(f, name+".scale", []int{1})
	if err != nil {
		return nil, err
	}
	values, err := ggufValues(scale, raw)
	if err != nil {
		return nil, err
	}
	if !(values[0] > 0) {
		return nil, fmt.Errorf("its scale is %g", values[0])
	}
	if m.Scale == 0 { // F16 with only zero weights
		m.Scale = 1
	}
	m.Scale *= values[0]
	return m, nil
}

// modelfileMark is the first line of every Modelfile of ours.
const modelfileMark = "# Written by bitnet export; make a model of it with: ollama create NAME -f Modelfile\n"

// checkModelfile refuses to replace a Modelfile that bitnet did not write.
func checkModelfile(path string) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && !strings.HasPrefix(string(text), modelfileMark) {
		err = fmt.Errorf("%s exists and was not written by bitnet: move it away, or give --output a different folder", path)
	}
	return err
}

// ollama describes the GGUF file to Ollama. A text begins with <s> as in
// training; a chat template is in the GGUF file already.
func (e *exporter) ollama(file string, vocab *ggufVocab) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%sFROM ./%s\nPARAMETER num_ctx %d\n", modelfileMark, file, e.config.MaxPositions)
	quotable := func(id *uint32) (string, bool) {
		if id == nil {
			return "", false
		}
		s := vocab.tokens[*id]
		return s, !strings.ContainsAny(s, "\"\\\n{}")
	}
	begin := ""
	if s, ok := quotable(vocab.bos); ok && !vocab.addBOS {
		begin = s
	}
	switch vocab.template {
	case "":
		fmt.Fprintf(&b, "TEMPLATE \"\"\"%s{{ .Prompt }}\"\"\"\n", begin)
	case infer.ChatMLTemplate(true):
		fmt.Fprintf(&b, "TEMPLATE \"\"\"%s\"\"\"\n", infer.ChatMLForOllama(begin))
	case infer.ChatMLTemplate(false):
		fmt.Fprintf(&b, "TEMPLATE \"\"\"%s\"\"\"\n", infer.ChatMLForOllama(""))
	}
	if s, ok := quotable(vocab.eos); ok {
		fmt.Fprintf(&b, "PARAMETER stop \"%s\"\n", s)
	}
	return []byte(b.String())
}
