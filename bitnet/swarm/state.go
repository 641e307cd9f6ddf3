package swarm

import (
	"errors"
	"io"
)

// A state is the outer optimizer as it is stored: weights, velocity and rest in
// float32, then the last change in int8, or nothing where there is none.

// stateLen is the number of bytes of a state of n parameters, at most.
func stateLen(n int) int64 { return 12*int64(n) + int64(blocksLen(n)) }

// stateReader gives the bytes of a state.
func stateReader(o *outer, change []byte) io.Reader {
	return &floatsReader{lists: [][]float32{o.weights, o.velocity, o.rest}, tail: change}
}

// readState is the reverse of stateReader.
func readState(b []byte, n int) (o *outer, change []byte, err error) {
	if len(b) != 12*n && int64(len(b)) != stateLen(n) {
		return nil, nil, errors.New("the stored weights of the swarm have the wrong size")
	}
	o = newOuter(make([]float32, n))
	for _, list := range [][]float32{o.weights, o.velocity, o.rest} {
		if err := readFloats(list, b[:4*n]); err != nil {
			return nil, nil, err
		}
		b = b[4*n:]
	}
	if len(b) > 0 {
		change = append([]byte(nil), b...)
	}
	return o, change, nil
}

// floatsReader reads float32 as little-endian bytes, and then a tail, without
// holding all of them at once.
type floatsReader struct {
	lists  [][]float32
	tail   []byte
	buffer []byte
	ready  []byte // of buffer
}

func (r *floatsReader) Read(p []byte) (int, error) {
	for len(r.ready) == 0 {
		switch {
		case len(r.lists) > 0 && len(r.lists[0]) == 0:
			r.lists = r.lists[1:]
		case len(r.lists) > 0:
			n := min(16<<10, len(r.lists[0]))
			r.buffer = appendFloats(r.buffer[:0], r.lists[0][:n])
			r.ready, r.lists[0] = r.buffer, r.lists[0][n:]
		case len(r.tail) > 0:
			n := copy(p, r.tail)
			r.tail = r.tail[n:]
			return n, nil
		default:
			return 0, io.EOF
		}
	}
	n := copy(p, r.ready)
	r.ready = r.ready[n:]
	return n, nil
}
