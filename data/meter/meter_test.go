package meter

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMeter(t *testing.T) {
	now := time.Unix(1000, 0)
	m := newAt(1000, func() time.Time { return now })
	require.Equal(t, Reading{Total: 1000, ETA: -1}, m.Read())

	m.Skip(500) // found done: no evidence of speed
	for range 10 {
		now = now.Add(time.Second)
		m.Add(10)
	}
	require.Equal(t, Reading{Done: 600, Total: 1000, Rate: 10, ETA: 40 * time.Second}, m.Read())

	m.Add(-100) // to be redone
	r := m.Read()
	require.EqualValues(t, 500, r.Done)
	require.Equal(t, 50*time.Second, r.ETA)

	m.Add(500)
	require.Zero(t, m.Read().ETA)
}

// The rate is that of the last seconds, not of the whole job.
func TestMeterForgets(t *testing.T) {
	now := time.Unix(1000, 0)
	m := newAt(0, func() time.Time { return now })
	for i := range 100 {
		now = now.Add(time.Second)
		n := int64(1000)
		if i >= 50 {
			n = 5
		}
		m.Add(n)
	}
	r := m.Read()
	require.InDelta(t, 5, r.Rate, 0.5)
	require.EqualValues(t, -1, r.ETA) // no total
	m.SetTotal(r.Done + 50)
	require.InDelta(t, 10, m.Read().ETA.Seconds(), 1)
}
