package graph

import (
	"bitnet/gpu"
	"bitnet/shaders/ternary"
)

// Shares are the fractions of a projection's weights that are -1, 0 and +1.
type Shares struct {
	Name              string
	Minus, Zero, Plus float64
}

// ShareCounter counts the ternary weights of every projection. It is built once
// and can count again and again.
type ShareCounter struct {
	program *gpu.Program // nil without ternary parameters
	counts  []counted
	kept    *arena
	rows    []uint32 // of the largest parameter, [Rows, 3]
}

type counted struct {
	param *Param
	rows  *Tensor // [Rows, 3]
}

// NewShareCounter compiles a counter; the parameters must be allocated.
func (ps *Params) NewShareCounter(dev *gpu.Device) (*ShareCounter, error) {
	if err := ps.onDevice(); err != nil {
		return nil, err
	}
	e := newEmitter(ps, false)
	e.op = "count ternary weights"
	s := &ShareCounter{kept: &arena{name: "ternary counts", limit: ps.Limits.Buffer}}
	largest := 0
	for _, p := range ps.list {
		if p.ternary {
			t := tensor("counts", U32, p.Rows, 3)
			if err := s.kept.append(t); err != nil {
				return nil, err
			}
			s.counts = append(s.counts, counted{p, t})
			largest = max(largest, p.Rows)
			e.run(ternary.Count{Target: ps.Target, N: p.Rows, K: p.Cols}.Source(), p.codes, t)
		}
	}
	if len(e.calls) == 0 || e.err != nil {
		return s, e.err
	}
	s.rows = make([]uint32, 3*largest)
	err := s.kept.allocate(dev)
	if err == nil {
		s.program, err = assemble(dev, e.op, e.calls)
	}
	if err != nil {
		s.Release()
		return nil, err
	}
	return s, nil
}

// ShareBytes is what a ShareCounter holds on the device.
func (ps *Params) ShareBytes() (n int64) {
	for _, p := range ps.list {
		if p.ternary {
			n += roundUp(12*int64(p.Rows), alignment)
		}
	}
	return n
}

// Count waits for the device and counts, in the order of the parameters.
func (s *ShareCounter) Count() ([]Shares, error) {
	if s.program == nil {
		return nil, nil
	}
	if err := s.program.Run(); err != nil {
		return nil, err
	}
	var out []Shares
	for _, c := range s.counts {
		rows := s.rows[:3*c.param.Rows]
		if err := c.rows.read(gpu.Bytes(rows)); err != nil {
			return nil, err
		}
		for _, part := range c.param.Parts {
			var n [3]float64
			for i, c := range rows[:3*part.Rows] {
				n[i%3] += float64(c)
			}
			rows = rows[3*part.Rows:]
			total := float64(part.Rows) * float64(c.param.Cols)
			out = append(out, Shares{part.Name, n[0] / total, n[1] / total, n[2] / total})
		}
	}
	return out, nil
}

// Release frees the counter's buffers.
func (s *ShareCounter) Release() {
	if s.program != nil {
		s.program.Release()
		s.program = nil
	}
	s.kept.release()
}
