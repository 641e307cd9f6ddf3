package chat

import (
	"math"

	"bitnet/data/order"
	"bitnet/data/rows"
)

// mix draws the samples of an epoch from sources with weights: weight 2 gives
// each sample of a source twice, weight 0.1 a tenth of them, other ones in each
// epoch.
type mix struct {
	sources []mixed
	seed    uint64

	epoch int64 // that the permutations are of
	ready bool
}

type mixed struct {
	*rows.Samples
	whole int64 // samples of an epoch before those that are drawn
	count int64 // samples of an epoch
	drawn order.Permutation
}

// add adds a source of at least one sample.
func (m *mix) add(s *rows.Samples, weight float64) {
	n := s.Len()
	m.sources = append(m.sources, mixed{Samples: s, whole: int64(math.Floor(weight)) * n, count: int64(math.Round(weight * float64(n)))})
}

// len is the number of samples of an epoch.
func (m *mix) len() (n int64) {
	for _, s := range m.sources {
		n += s.count
	}
	return n
}

// at is a rows.Sampler.
func (m *mix) at(epoch, i int64) (inputs, targets []uint32) {
	if !m.ready || epoch != m.epoch {
		for k := range m.sources {
			s := &m.sources[k]
			s.drawn = order.New(uint64(s.Len()), order.Mix(m.seed+order.Mix(uint64(epoch)<<16+uint64(k))))
		}
		m.epoch, m.ready = epoch, true
	}
	for k := range m.sources {
		s := &m.sources[k]
		if i >= s.count {
			i -= s.count
			continue
		}
		if i < s.whole {
			return s.At(0, i%s.Len())
		}
		return s.At(0, int64(s.drawn.At(uint64(i-s.whole))))
	}
	panic("a sample past the end of its epoch")
}
