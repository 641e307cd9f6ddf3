package suite

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// bootstrapRounds is how often lm-eval draws a sample again, and bootstrapChunk how
// many draws share a random generator, whose seed is the number of the chunk.
const (
	bootstrapRounds = 100_000
	bootstrapChunk  = 1000
)

// bootstrap is the standard error of a statistic: its standard deviation over samples
// that are drawn from values with replacement (Efron, 1979). It draws what lm-eval
// draws with Python's random.choices, so that the result is the same.
func bootstrap(statistic func([]float64) float64, values []float64, rounds int) float64 {
	found := make([]float64, rounds)
	var next atomic.Int64
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			sample := make([]float64, len(values))
			for {
				chunk := int(next.Add(1)) - 1
				if chunk*bootstrapChunk >= rounds {
					return
				}
				random := newTwister(uint32(chunk))
				for i := chunk * bootstrapChunk; i < min((chunk+1)*bootstrapChunk, rounds); i++ {
					for j := range sample {
						sample[j] = values[int(random.float()*float64(len(values)))]
					}
					found[i] = statistic(sample)
				}
			}
		})
	}
	all.Wait()
	return stdDev(found)
}

// twister is the Mersenne Twister MT19937 (Matsumoto and Nishimura, 1998), seeded
// and read as Python's random does.
type twister struct {
	state [624]uint32
	at    int
}

// newTwister is Python's random.Random(seed) for a seed of 32 bits: the paper's
// init_by_array of that one word.
func newTwister(seed uint32) *twister {
	t := &twister{at: 624}
	s := &t.state
	s[0] = 19650218
	for i := 1; i < 624; i++ {
		s[i] = 1812433253*(s[i-1]^s[i-1]>>30) + uint32(i)
	}
	i := 1
	step := func(factor, add uint32) {
		s[i] = (s[i] ^ (s[i-1]^s[i-1]>>30)*factor) + add
		if i++; i == 624 {
			s[0], i = s[623], 1
		}
	}
	for range 624 {
		step(1664525, seed)
	}
	for range 623 {
		step(1566083941, -uint32(i))
	}
	s[0] = 1 << 31
	return t
}

// word is the next 32 bits.
func (t *twister) word() uint32 {
	if t.at == 624 {
		s := &t.state
		for i := range s {
			y := s[i]&(1<<31) | s[(i+1)%624]&(1<<31-1)
			s[i] = s[(i+397)%624] ^ y>>1 ^ (y&1)*0x9908b0df
		}
		t.at = 0
	}
	y := t.state[t.at]
	t.at++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// float is a number from 0 to below 1 of 53 random bits.
func (t *twister) float() float64 {
	a, b := t.word()>>5, t.word()>>6
	return (float64(a)*(1<<26) + float64(b)) / (1 << 53)
}
