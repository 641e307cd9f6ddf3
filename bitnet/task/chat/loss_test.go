package chat

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/task"
	"bitnet/data"
	"bitnet/data/rows"
	"bitnet/graph"
	"bitnet/shaders"
)

// Conversations that share a row have the loss that each has in a row of its own,
// token by token, with the kernels of every target.
func TestPackingKeepsTheLoss(t *testing.T) {
	dev := modeltest.Device(t)
	var lines []string
	for i := range 7 {
		lines = append(lines, talk("user", fmt.Sprint("question ", i*i), "assistant", strings.Repeat(fmt.Sprint("a", i), 1+3*i)))
	}
	const seq = 160
	x, _, err := opened(t, seq, func(o *task.Options) { o.Whole, o.Own = true, withTemplate(t) }, lines...)
	require.NoError(t, err)
	source := func(pack bool) data.Source {
		s, err := rows.New("chat", x.validation.At, x.validation.Len(), x.validation.Longest, rows.Options{Seq: seq, Pack: pack, Once: true})
		require.NoError(t, err)
		return s
	}
	for _, target := range []shaders.Target{graph.TargetOf(dev.Adapter()), shaders.CPU} {
		m := modeltest.Random(t, dev, modeltest.Tiny(x.tok.Size(), seq), target)
		losses := func(pack, packed bool) (all []float64) {
			scorer, err := infer.NewScorer(m, 2, seq, packed, nil)
			require.NoError(t, err)
			defer scorer.Release()
			_, err = scorer.Loss(t.Context(), source(pack), math.MaxInt64, func(p infer.TokenLogProb) error {
				all = append(all, p.LogProb)
				return nil
			})
			require.NoError(t, err)
			return all
		}
		alone := losses(false, false) // rows of one sequence, without a mask
		packed := losses(true, true)
		require.Greater(t, len(alone), 40)
		require.Len(t, packed, len(alone))
		for i := range alone {
			require.InDelta(t, alone[i], packed[i], 2e-5, "token %d", i)
		}
		// Without the mask the conversations see each other: the test can fail.
		different := 0
		for i, p := range losses(true, false) {
			if math.Abs(p-alone[i]) > 1e-3 {
				different++
			}
		}
		require.Greater(t, different, len(alone)/3)
	}
}

func TestExamination(t *testing.T) {
	dev := modeltest.Device(t)
	x, _, err := opened(t, 96, func(o *task.Options) { o.Whole, o.Own = true, withTemplate(t) },
		strings.Replace(talk("user", "a", "assistant", "b"), "{", `{"kind": "k", `, 1), talk("user", "a", "assistant", "c"),
		talk("user", "long", "assistant", strings.Repeat("x", 50)))
	require.NoError(t, err)
	m := modeltest.Random(t, dev, modeltest.Tiny(x.tok.Size(), 96), graph.TargetOf(dev.Adapter()))
	made, err := x.Examination(m)
	require.NoError(t, err)
	defer made.Release()
	e := made.(*examination)
	require.Equal(t, 50+1+longerAnswer, e.limit)
	scores, err := e.Run(t.Context(), 0)
	require.NoError(t, err)
	counts := map[string]int{}
	for _, s := range scores {
		counts[s.Name+"/"+s.Part] = s.Count
	}
	require.Equal(t, map[string]int{"answers in form/": 3, "exact match/": 2, "answers in form/k": 1, "exact match/k": 1}, counts)

	count := func(text string, ended bool) tally {
		ids, err := x.tok.Encode(text) // with special tokens
		require.NoError(t, err)
		var c tally
		e.count(&c, problem{answer: "b", exact: true}, ids, ended)
		return c
	}
	require.Equal(t, tally{1, 1, 1, 1}, count("b", true))
	require.Equal(t, tally{1, 1, 1, 1}, count(" b\n", true))
	require.Equal(t, tally{1, 1, 1, 0}, count("c", true))
	require.Equal(t, tally{1, 0, 1, 0}, count("b", false), "it never ends")
	require.Equal(t, tally{1, 0, 1, 0}, count("b<|im_start|>", true), "a stray special token")
	require.Equal(t, tally{1, 0, 1, 0}, count("", true), "nothing at all")
}
