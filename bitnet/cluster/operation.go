package cluster

import "unsafe"

// blockValues is how many values one operation sums: longer sums are cut, so that
// one block travels while the next is read and another one added.
const blockValues = 4 << 20

// operation is a step that all ranks take together, in stages of messages.
type operation struct {
	number int64 // the same on all ranks
	stages []stage
	under  []request // messages of the current stage
	done   chan struct{}
	err    error
	values int // of scratch memory that it needs
	memory []float32
}

// stage posts messages; when all are complete, then is called.
type stage struct {
	post func(m *messages) error
	then func()
}

// messages starts the messages of one stage of an operation.
type messages struct {
	t       transport
	tag     int
	scratch []float32
	under   []request
}

func (m *messages) send(to int, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	r, err := m.t.send(to, m.tag, data)
	if err == nil {
		m.under = append(m.under, r)
	}
	return err
}

func (m *messages) receive(from int, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	r, err := m.t.receive(from, m.tag, data)
	if err == nil {
		m.under = append(m.under, r)
	}
	return err
}

// others calls f for every rank but me, beginning after me, so that not all send
// to the same rank at once. Messages that are received are posted before.
func others(me, n int, receive, send func(r int) error) error {
	for _, f := range []func(int) error{receive, send} {
		for i := 1; i < n; i++ {
			if err := f((me + i) % n); err != nil {
				return err
			}
		}
	}
	return nil
}

// part is the piece of a list that a rank sums.
func part[T any](list []T, r, n int) []T { return list[len(list)*r/n : len(list)*(r+1)/n] }

// raw is the memory of a list as bytes.
func raw[T any](list []T) []byte {
	var v T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(list))), len(list)*int(unsafe.Sizeof(v)))
}

// halves gives memory of float32 as twice as many uint16.
func halves(list []float32) []uint16 {
	return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(list))), 2*len(list))
}

// sumOperation sums values over the ranks: each gets its part of all others,
// adds them in the order of the ranks, and sends the sum to all. A rank sends and
// receives 2 (n-1)/n of the values, the least that is possible.
func sumOperation(me, n int, values []float32, as Format) *operation {
	if as == BFloat16 {
		return sumRounded(me, n, values)
	}
	own := part(values, me, n)
	lists := make([][]float32, n)
	o := &operation{values: (n - 1) * len(own)}
	o.stages = []stage{{
		post: func(m *messages) error {
			at := 0
			for r := range lists {
				if lists[r] = own; r != me {
					lists[r] = m.scratch[at:][:len(own)]
					at += len(own)
				}
			}
			return others(me, n,
				func(r int) error { return m.receive(r, raw(lists[r])) },
				func(r int) error { return m.send(r, raw(part(values, r, n))) })
		},
		then: func() { sumFloats(own, lists) },
	}, {
		post: func(m *messages) error {
			return others(me, n,
				func(r int) error { return m.receive(r, raw(part(values, r, n))) },
				func(r int) error { return m.send(r, raw(own)) })
		},
	}}
	return o
}

// sumRounded is sumOperation with values that travel as bfloat16. All ranks end
// with the same rounded sums.
func sumRounded(me, n int, values []float32) *operation {
	var packed []uint16 // the values, later the sums
	lists := make([][]uint16, n)
	own := len(part(values, me, n))
	o := &operation{values: (len(values)+1)/2 + ((n-1)*own+1)/2}
	o.stages = []stage{{
		post: func(m *messages) error {
			packed = halves(m.scratch[:(len(values)+1)/2])[:len(values)]
			encode(packed, values)
			space, at := halves(m.scratch[(len(values)+1)/2:]), 0
			for r := range lists {
				if lists[r] = part(packed, me, n); r != me {
					lists[r] = space[at:][:own]
					at += own
				}
			}
			return others(me, n,
				func(r int) error { return m.receive(r, raw(lists[r])) },
				func(r int) error { return m.send(r, raw(part(packed, r, n))) })
		},
		then: func() { sumBFloat16(part(packed, me, n), lists) },
	}, {
		post: func(m *messages) error {
			return others(me, n,
				func(r int) error { return m.receive(r, raw(part(packed, r, n))) },
				func(r int) error { return m.send(r, raw(part(packed, me, n))) })
		},
		then: func() { decode(values, packed) },
	}}
	return o
}

// gatherOperation gives every rank what all have.
func gatherOperation(me, n int, own []byte) (*operation, [][]byte) {
	all := make([][]byte, n)
	for r := range all {
		if all[r] = own; r != me {
			all[r] = make([]byte, len(own))
		}
	}
	return &operation{stages: []stage{{post: func(m *messages) error {
		return others(me, n,
			func(r int) error { return m.receive(r, all[r]) },
			func(r int) error { return m.send(r, own) })
	}}}}, all
}

// shortMessage is what rank 0 sends whole to every rank.
const shortMessage = 64 << 10

// broadcastOperation gives data of rank 0 to all. Where it is long, rank 0 sends
// a part to each rank, and the ranks exchange the parts.
func broadcastOperation(me, n int, data []byte) *operation {
	nothing := func(int) error { return nil }
	if len(data) <= shortMessage {
		return &operation{stages: []stage{{post: func(m *messages) error {
			if me != 0 {
				return m.receive(0, data)
			}
			return others(me, n, nothing, func(r int) error { return m.send(r, data) })
		}}}}
	}
	return &operation{stages: []stage{{post: func(m *messages) error {
		if me != 0 {
			return m.receive(0, part(data, me, n))
		}
		return others(me, n, nothing, func(r int) error { return m.send(r, part(data, r, n)) })
	}}, {post: func(m *messages) error {
		return others(me, n,
			func(r int) error {
				if me == 0 {
					return nil
				}
				return m.receive(r, part(data, r, n))
			},
			func(r int) error {
				if r == 0 {
					return nil
				}
				return m.send(r, part(data, me, n))
			})
	}}}}
}
