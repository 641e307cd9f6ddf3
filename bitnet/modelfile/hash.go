package modelfile

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"math"
)

// Hash is the SHA-256 of what the weights compute: the architecture, the floats, and
// the ternary codes with their scales. It is the same for every form in which a model
// is stored.
func (w *Weights) Hash() string {
	h := sha256.New()
	// An architecture is a few numbers: encoding it cannot fail, nor can writing to a hash.
	text, _ := json.Marshal(w.Config)
	h.Write(text)
	for _, t := range w.Config.Tensors() {
		io.WriteString(h, "\x00"+t.Name+"\x00")
		if m := w.Ternary[t.Name]; m != nil {
			h.Write(binary.LittleEndian.AppendUint32(nil, math.Float32bits(m.Scale)))
			h.Write(m.Codes)
			continue
		}
		hashFloats(h, w.Float[t.Name])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// HashMasters is the SHA-256 of the architecture and the floats of a model directory that
// can be trained. It is that of the values, whatever type the file stores them in.
func HashMasters(dir string) (string, error) {
	c, err := ReadTrainable(dir)
	if err != nil {
		return "", err
	}
	files, err := OpenMasters(dir)
	if err != nil {
		return "", err
	}
	defer files.Close()
	h := sha256.New()
	text, _ := json.Marshal(c)
	h.Write(text)
	for _, t := range c.Tensors() {
		if err := files.CheckFloats(t.Name, t.Shape); err != nil {
			return "", err
		}
		n := 1
		for _, d := range t.Shape {
			n *= d
		}
		values := make([]float32, n)
		if err := files.Floats(t.Name, values); err != nil {
			return "", err
		}
		io.WriteString(h, "\x00"+t.Name+"\x00")
		hashFloats(h, values)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func hashFloats(to io.Writer, values []float32) {
	buf := make([]byte, 0, 1<<16)
	for i, v := range values {
		buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
		if len(buf) == cap(buf) || i == len(values)-1 {
			_, _ = to.Write(buf)
			buf = buf[:0]
		}
	}
}
