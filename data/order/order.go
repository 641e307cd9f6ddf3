// Package order shuffles without memory: it computes the elements of a seeded
// permutation of 0..n-1 one by one, so that a resumed run reaches any place in it
// at once.
package order

import "math/bits"

// Permutation is a pseudo-random bijection of [0, n).
type Permutation struct {
	n    uint64
	half uint // bits in each half of the Feistel network
	keys [6]uint64
}

// New gives the permutation of [0, n) that seed decides.
func New(n, seed uint64) Permutation {
	p := Permutation{n: n}
	if n > 1 {
		p.half = uint(bits.Len64(n-1)+1) / 2
	}
	for i := range p.keys {
		seed = Mix(seed + 0x9e3779b97f4a7c15)
		p.keys[i] = seed
	}
	return p
}

// Len is n.
func (p *Permutation) Len() uint64 { return p.n }

// At is where the permutation sends i, which must be under n. It walks a
// balanced Feistel network over the next power of four until it lands in
// range (Black and Rogaway 2002, "cycle walking": at most four steps on
// average).
func (p *Permutation) At(i uint64) uint64 {
	if p.n < 2 {
		return i
	}
	mask := uint64(1)<<p.half - 1
	for {
		l, r := i>>p.half, i&mask
		for _, k := range p.keys {
			l, r = r, l^(Mix(r+k)&mask)
		}
		i = l<<p.half | r
		if i < p.n {
			return i
		}
	}
}

// Mix scrambles 64 bits (the finaliser of SplitMix64, Steele et al. 2014). It
// derives the seeds of the parts of a run.
func Mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
