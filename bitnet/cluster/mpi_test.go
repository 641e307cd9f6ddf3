//go:build unix && cgo

package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/cluster/mpitest"
)

// rankVariable makes the test program a rank that runs one of ranks.
const rankVariable = "BITNET_CLUSTER_TEST_RANK"

func TestMain(m *testing.M) {
	name := os.Getenv(rankVariable)
	if name == "" {
		os.Exit(m.Run())
	}
	g, err := Join()
	if err == nil && g == nil {
		err = errors.New("this is no group")
	}
	if err == nil {
		err = ranks[name](g)
		g.Leave(err)
	}
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

// ranks are what the tests below run on each rank.
var ranks = map[string]func(g *Group) error{"collectives": collectives, "named": func(g *Group) error {
	fmt.Printf("rank %d of %d, number %d on %s, %s\n", g.Rank(), g.Size(), g.Local(), g.Hosts()[g.Rank()], g.Library())
	return nil
}}

// mpirun runs a function of ranks on n ranks, and gives their output.
func mpirun(t *testing.T, l mpitest.Launcher, n int, name string) string {
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := l.Command(n, self)
	cmd.Env = append(os.Environ(), rankVariable+"="+name)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return string(out)
}

// gradient is what rank r has of n values.
func gradient(r, n int) []float32 {
	rng := rand.New(rand.NewPCG(uint64(r), 7))
	list := make([]float32, n)
	for i := range list {
		list[i] = float32(rng.NormFloat64())
	}
	return list
}

func collectives(g *Group) error {
	for _, n := range []int{1, 3, 1000, blockValues + 12345} {
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
	for _, n := range []int{1, shortMessage, shortMessage + 7, 40 << 20} {
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
	fmt.Println("collectives work")
	return nil
}

func TestCollectivesOverMPI(t *testing.T) {
	for _, l := range mpitest.Launchers(t) {
		t.Run(l.Name, func(t *testing.T) {
			for _, n := range []int{2, 3, 4} {
				began := time.Now()
				out := mpirun(t, l, n, "collectives")
				require.Equal(t, n, strings.Count(out, "collectives work"), out)
				t.Logf("%d ranks: %s", n, time.Since(began).Round(time.Millisecond))
			}
		})
	}
}

func TestRanksKnowTheirPlace(t *testing.T) {
	host, err := os.Hostname()
	require.NoError(t, err)
	for _, l := range mpitest.Launchers(t) {
		t.Run(l.Name, func(t *testing.T) {
			out := mpirun(t, l, 3, "named")
			for r := range 3 {
				require.Contains(t, out, fmt.Sprintf("rank %d of 3, number %d on %s, ", r, r, host))
			}
			require.Contains(t, out, l.Name)
		})
	}
}
