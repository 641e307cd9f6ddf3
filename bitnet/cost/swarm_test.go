package cost

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The figures are worked out by hand: 256,000 parameters are 1000 blocks of 260 bytes;
// on 1 Mbyte/s four workers send and receive for 2.08 s after 10 s of training.
func TestOfSwarm(t *testing.T) {
	s := OfSwarm(256_000, 4, 100, 0.1, 1000, 1e6)
	require.InDelta(t, 260_000, s.Bytes, 1e-6)
	require.InDelta(t, 2.08, s.Exchange, 1e-9)
	require.InDelta(t, 12.08, s.Round, 1e-9)
	require.InDelta(t, 4*10/12.08, s.SpeedUp, 1e-9)
	require.InDelta(t, 2.6, s.PerToken, 1e-9)
	require.InDelta(t, 4, OfSwarm(1, 4, 100, 1, 1, 1e12).SpeedUp, 1e-6, "on a link without end nothing is lost")
}
