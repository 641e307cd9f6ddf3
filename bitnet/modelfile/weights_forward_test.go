package modelfile_test

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/modelfile"
)

// logProbs is the log-probability of each of ids but the first.
func logProbs(t *testing.T, w *modelfile.Weights, ids []uint32, r modelfile.Rounding) []float64 {
	logits, err := w.Forward(ids[:len(ids)-1], r)
	require.NoError(t, err)
	out := make([]float64, len(logits))
	for i, row := range logits {
		sum, most := 0.0, slices.Max(row)
		for _, v := range row {
			sum += math.Exp(v - most)
		}
		out[i] = row[ids[i+1]] - most - math.Log(sum)
	}
	return out
}

func goldenIDs(t *testing.T, n int) []uint32 {
	raw, err := os.ReadFile("../../testdata/golden/train/tokens.u16")
	require.NoError(t, err)
	ids := make([]uint32, n)
	for i := range ids {
		ids[i] = uint32(binary.LittleEndian.Uint16(raw[2*i:]))
	}
	return ids
}

// The host's forward is PyTorch's in float64, for float masters and for packed
// weights. A code that rounds the other way may move a few tokens.
func TestForwardGolden(t *testing.T) {
	for dir, file := range map[string]string{"train/init": "train/logprobs.jsonl", "packed": "packed/logprobs.jsonl"} {
		w, err := modelfile.ReadWeights("../../testdata/golden/" + dir)
		require.NoError(t, err)
		f, err := os.Open("../../testdata/golden/" + file)
		require.NoError(t, err)
		defer f.Close()
		ids := goldenIDs(t, 8*32+1)
		var ours []float64
		for row := range 8 {
			ours = append(ours, logProbs(t, w, ids[32*row:32*row+33], modelfile.PerToken)...)
		}
		lines, over := 0, 0
		for s := bufio.NewScanner(f); s.Scan(); lines++ {
			var want struct {
				LogProb float64 `json:"logprob"`
			}
			require.NoError(t, json.Unmarshal(s.Bytes(), &want))
			require.InDelta(t, want.LogProb, ours[lines], 1e-2)
			if math.Abs(want.LogProb-ours[lines]) > 1e-6 {
				over++
			}
		}
		require.Equal(t, len(ours), lines)
		require.LessOrEqual(t, over, 4, dir)
	}
}

func TestForwardMistakes(t *testing.T) {
	w, err := modelfile.ReadWeights("../../testdata/golden/packed")
	require.NoError(t, err)
	for _, ids := range [][]uint32{nil, {32}, make([]uint32, w.Config.MaxPositions+1)} {
		_, err := w.Forward(ids, modelfile.PerToken)
		require.Error(t, err)
	}
}
