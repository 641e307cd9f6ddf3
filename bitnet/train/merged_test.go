package train

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/model"
	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/modelfile/modelfiletest"
	"bitnet/gpu"
)

// A merged model that the device has no room for is told apart from data that is wrong,
// and the loss with the adapter is there. A model that merging left as it was has that loss.
func TestMergedLoss(t *testing.T) {
	const base = "../../testdata/tictactoe"
	dev, adapter := modeltest.Device(t), modelfiletest.Adapter(t, base, "")
	var raw []byte
	for i := range 97 {
		raw = binary.LittleEndian.AppendUint16(raw, uint16(1+i*i%11))
	}
	tokens := filepath.Join(t.TempDir(), "ids.u16")
	require.NoError(t, os.WriteFile(tokens, raw, 0o644))
	o := EvalOptions{Data: "tokens:" + tokens, Adapter: adapter, Note: func(string) {}}
	w, a, err := modelfile.ReadSource(modelfile.Source{Dir: base, Adapter: adapter})
	require.NoError(t, err)
	before, after, err := MergedLoss(t.Context(), dev, base, o, func(dev *gpu.Device) (*model.Model, error) { return infer.Load(dev, w, a) })
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.EqualValues(t, 96, before.Tokens)

	full := errors.New("no room")
	failing := func(*gpu.Device) (*model.Model, error) { return nil, full }
	again, _, err := MergedLoss(t.Context(), dev, base, o, failing)
	require.ErrorIs(t, err, ErrUnmeasured)
	require.ErrorIs(t, err, full)
	require.Equal(t, before, again)

	ended, end := context.WithCancel(t.Context())
	_, _, err = MergedLoss(ended, dev, base, o, func(*gpu.Device) (*model.Model, error) { end(); return nil, context.Canceled })
	require.Error(t, err)
	require.NotErrorIs(t, err, ErrUnmeasured)

	o.Data = "tokens:" + filepath.Join(t.TempDir(), "missing.u16")
	_, _, err = MergedLoss(t.Context(), dev, base, o, failing)
	require.Error(t, err)
	require.NotErrorIs(t, err, ErrUnmeasured)
}
