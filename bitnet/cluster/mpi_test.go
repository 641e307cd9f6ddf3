//go:build unix && cgo

package cluster

import (
	"errors"
	"fmt"
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
var ranks = map[string]func(g *Group) error{"collectives": func(g *Group) error {
	err := collectives(g)
	if err == nil {
		fmt.Println("collectives work")
	}
	return err
}, "speed": speed, "named": func(g *Group) error {
	fmt.Printf("rank %d of %d, number %d on %s, %s\n", g.Rank(), g.Size(), g.Local(), g.Hosts()[g.Rank()], g.Library())
	return nil
}}

// speed measures sums of 100 MB: run the test program by hand, across machines, with
// BITNET_CLUSTER_TEST_RANK=speed.
func speed(g *Group) error {
	values := make([]float32, 25e6)
	for range 5 {
		began := time.Now()
		if err := g.Sum(values, Float32).Wait(); err != nil {
			return err
		}
		took := time.Since(began)
		if g.Rank() == 0 {
			sent := 2 * float64(g.Size()-1) / float64(g.Size()) * 4 * float64(len(values))
			fmt.Printf("%d ranks: %.0f ms, %.2f Gbit/s each way\n", g.Size(), 1e3*took.Seconds(), 8*sent/took.Seconds()/1e9)
		}
	}
	return nil
}

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
