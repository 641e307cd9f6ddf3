package wire

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"bitnet/gpu/driver"
)

func TestPieces(t *testing.T) {
	data := make([]byte, transfer+5)
	type piece struct {
		at  int64
		len int
	}
	var got []piece
	require.NoError(t, Pieces(8, data, func(at int64, p []byte) error {
		got = append(got, piece{at, len(p)})
		return nil
	}))
	require.Equal(t, []piece{{8, transfer}, {8 + transfer, 5}}, got)
	require.NoError(t, Pieces(0, nil, func(int64, []byte) error { return errors.New("there is nothing") }))
	failed := errors.New("it is full")
	calls := 0
	require.ErrorIs(t, Pieces(0, data, func(int64, []byte) error { calls++; return failed }), failed)
	require.Equal(t, 1, calls)
}

func TestKernels(t *testing.T) {
	require.Equal(t, "rwr", Letters([]driver.Access{driver.Read, driver.ReadWrite, driver.Read}))
	require.NoError(t, CheckSource("fn main() {} // ä"))
	var fault *driver.CompileError
	require.ErrorAs(t, CheckSource("a\x00b"), &fault)
	require.ErrorAs(t, CheckSource("a\xffb"), &fault)
	require.EqualValues(t, 92, Size(driver.Binding{Offset: 8}, 100))
	require.EqualValues(t, 4, Size(driver.Binding{Offset: 8, Size: 4}, 100))
}

func TestDurations(t *testing.T) {
	stamps := func(values ...uint64) (out []byte) {
		for _, v := range values {
			out = binary.LittleEndian.AppendUint64(out, v)
		}
		return out
	}
	got, err := Durations(stamps(5, 12, 12, 12))
	require.NoError(t, err)
	require.Equal(t, []time.Duration{7, 0}, got)
	_, err = Durations(stamps(5, 12, 13, 12))
	require.ErrorContains(t, err, "ran backwards")
}
