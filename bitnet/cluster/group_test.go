package cluster

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
)

// gradient is what rank r has of n values.
func gradient(r, n int) []float32 {
	rng := rand.New(rand.NewPCG(uint64(r), 7))
	list := make([]float32, n)
	for i := range list {
		list[i] = float32(rng.NormFloat64())
	}
	return list
}

// collectives checks what a group can do, also beyond the size of a block.
func collectives(g *Group) error { return checkCollectives(g, blockValues+12345, 40<<20) }

func collectivesSmall(g *Group) error { return checkCollectives(g, 50_000, 1<<20) }

func checkCollectives(g *Group, values, bytesTold int) error {
	for _, n := range []int{1, 3, 1000, values} {
		want, size := make([]float32, n), make([]float32, n) // the sum, and that of the absolute values
		for r := range g.Size() {
			for i, v := range gradient(r, n) {
				want[i] += v
				size[i] += max(v, -v)
			}
		}
		for _, as := range []Format{Float32, BFloat16} {
			got := gradient(g.Rank(), n)
			if err := g.Sum(got, as).Wait(); err != nil {
				return err
			}
			for i := range want {
				diff := max(got[i]-want[i], want[i]-got[i])
				if as == Float32 && diff != 0 || diff > size[i]/128 { // two roundings to 8 bits
					return fmt.Errorf("%s sum of %d: value %d is %g, not %g", as, n, i, got[i], want[i])
				}
			}
			if r, err := g.Same(Checksum(0, got)); err != nil || r >= 0 {
				return fmt.Errorf("%s sum of %d differs on rank %d: %v", as, n, r, err)
			}
		}
	}
	for _, n := range []int{1, shortMessage, shortMessage + 7, bytesTold} {
		data := bytes.Repeat([]byte{byte(g.Rank())}, n)
		want := make([]byte, n)
		if g.Rank() == 0 {
			rand.NewChaCha8([32]byte{}).Read(data)
		}
		rand.NewChaCha8([32]byte{}).Read(want)
		if err := g.Broadcast(data); err != nil || !bytes.Equal(data, want) {
			return fmt.Errorf("a broadcast of %d bytes did not arrive: %v", n, err)
		}
	}
	text, err := g.Tell([]byte(strings.Repeat("told ", 1-min(g.Rank(), 1))))
	if err != nil || string(text) != "told " {
		return fmt.Errorf("%q was told: %v", text, err)
	}
	most, err := g.Agree(int64(g.Rank()), -int64(g.Rank()))
	if err != nil || most[0] != int64(g.Size()-1) || most[1] != 0 {
		return fmt.Errorf("agreed on %v: %v", most, err)
	}
	if r, err := g.Same(uint64(min(g.Rank(), 1))); err != nil || r != 1 {
		return fmt.Errorf("rank %d is said to differ: %v", r, err)
	}
	if err := g.Barrier(); err != nil {
		return err
	}
	return nil
}
