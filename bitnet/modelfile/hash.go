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
