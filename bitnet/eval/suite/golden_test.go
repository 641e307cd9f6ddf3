package suite

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/model/modeltest"
	"bitnet/data/tokenizer"
)

// golden is where testdata/suites.py keeps a model, small test sets of the form of
// the real ones, and what an independent implementation makes of them.
var golden = filepath.Join("..", "..", "..", "testdata", "golden", "suites")

type goldenTask struct {
	Documents []struct {
		Context       string
		Continuations []string
		IDs           [][2][]uint32
		LogProbs      []float64
		Greedy        []bool
	}
	Metrics map[string]float64
}

func readGolden(t *testing.T) map[string]goldenTask {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(golden, "golden.json"))
	require.NoError(t, err)
	var out map[string]goldenTask
	require.NoError(t, json.Unmarshal(b, &out))
	require.Len(t, out, len(Tasks()))
	return out
}

// Prompts and their tokens are those of the independent implementation.
func TestGoldenRequests(t *testing.T) {
	tok, err := tokenizer.Load(filepath.Join(golden, "model"))
	require.NoError(t, err)
	want := readGolden(t)
	for _, task := range Tasks() {
		t.Run(task.Name, func(t *testing.T) {
			list, total, err := source{dir: golden}.questions(t.Context(), task, 0)
			require.NoError(t, err)
			require.Equal(t, len(want[task.Name].Documents), total)
			for i, q := range list {
				w := want[task.Name].Documents[i]
				require.Equal(t, w.Context, q.Context)
				require.Equal(t, w.Continuations, q.Continuations)
				requests, err := encoder{tok: tok, most: 96}.requests(q)
				require.NoError(t, err)
				for j, r := range requests {
					require.Equal(t, w.IDs[j], [2][]uint32{r.context, r.continuation}, "%s", q.Context+q.Continuations[j])
				}
			}
		})
	}
}

// Metrics and standard errors are those of the independent implementation, which has
// Python's random numbers for the bootstrap.
func TestGoldenMetrics(t *testing.T) {
	want := readGolden(t)
	for _, task := range Tasks() {
		list, _, err := source{dir: golden}.questions(t.Context(), task, 0)
		require.NoError(t, err)
		var outcomes [][]float64
		for i, q := range list {
			w := want[task.Name].Documents[i]
			var answers []answer
			for j := range w.LogProbs {
				answers = append(answers, answer{w.LogProbs[j], w.Greedy[j]})
			}
			outcomes = append(outcomes, task.outcome(q, answers))
		}
		for _, m := range task.summary(outcomes) {
			require.InEpsilon(t, 1+want[task.Name].Metrics[m.Name], 1+m.Value, 1e-12, "%s %s", task.Name, m.Name)
			require.InEpsilon(t, 1+want[task.Name].Metrics[m.Name+"_stderr"], 1+m.StdErr, 1e-9, "%s %s", task.Name, m.Name)
		}
	}
}

// A model on a device gives the likelihoods of PyTorch in float64, as far as
// rounding of activations lets it, and so the same answers.
func TestGoldenLikelihoods(t *testing.T) {
	dev := modeltest.Device(t)
	m, err := infer.Open(t.Context(), dev, "", filepath.Join(golden, "model"), func(string) {})
	require.NoError(t, err)
	defer m.Release()
	want := readGolden(t)
	at := map[string]int{}
	tokens := int64(0)
	results, err := Run(t.Context(), m, Tasks(), Options{
		Dir:      golden,
		Progress: func(p Progress) { tokens = p.Work.Done; require.Positive(t, p.Work.Total) },
		Each: func(s Sample) error {
			w := want[s.Task].Documents[at[s.Task]]
			require.Equal(t, at[s.Task], s.Document)
			at[s.Task]++
			for i, a := range s.Answers {
				// 0.02 a token: a code that rounds the other way moves a log-probability by up to 7e-3.
				require.InDelta(t, w.LogProbs[i], a.LogProb, 0.02*float64(len(w.IDs[i][1])), "%s: %q", s.Task, s.Context)
				if s.Task == "lambada_openai" {
					require.Equal(t, w.Greedy[i], a.Greedy, "%q", s.Context)
				}
			}
			return nil
		},
	})
	require.NoError(t, err)
	require.Len(t, results.Tasks, len(want))
	for _, r := range results.Tasks {
		require.Equal(t, len(want[r.Task.Name].Documents), at[r.Task.Name])
		require.Equal(t, at[r.Task.Name], r.Questions)
		for _, m := range r.Metrics {
			within := 1e-12
			if m.Name == "perplexity" {
				within = 0.1 // e to the mean difference of passages
			}
			require.InEpsilon(t, 1+want[r.Task.Name].Metrics[m.Name], 1+m.Value, within, "%s %s", r.Task.Name, m.Name)
		}
	}
	require.Positive(t, tokens)
}
