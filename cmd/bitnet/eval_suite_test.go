package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/eval/suite"
	"bitnet/data/meter"
)

func TestEvalSuite(t *testing.T) {
	golden := filepath.Join("..", "..", "testdata", "golden", "suites")
	samples := filepath.Join(t.TempDir(), "samples.jsonl")
	args := []string{filepath.Join(golden, "model"), "--suite", "piqa,lambada", "--suite-data", golden, "--limit", "3", "--samples", samples}
	out, err := use(t, evalCommand(), "", append(args, "--json")...)
	require.NoError(t, err)
	var got struct {
		Results map[string]map[string]any
		Samples map[string]map[string]int `json:"n-samples"`
		Config  map[string]any
	}
	_, object, _ := strings.Cut(out, "{") // progress may come before, on standard error
	require.NoError(t, json.Unmarshal([]byte("{"+object), &got), out)
	require.Len(t, got.Results, 2)
	require.Contains(t, got.Results["piqa"], "acc_norm_stderr,none")
	require.Contains(t, got.Results["lambada_openai"], "perplexity,none")
	require.Equal(t, map[string]int{"original": 5, "effective": 3}, got.Samples["piqa"])
	require.Equal(t, 3., got.Config["limit"])

	b, err := os.ReadFile(samples)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	require.Len(t, lines, 6)
	var first struct {
		Task    string
		ID      int `json:"doc_id"`
		Context string
		Answers []struct{ LogProb float64 }
		Metrics map[string]float64
	}
	require.NoError(t, json.Unmarshal([]byte(lines[1]), &first))
	require.Equal(t, "piqa", first.Task)
	require.Equal(t, 1, first.ID)
	require.Equal(t, "Question: Dry a wet book \nAnswer:", first.Context)
	require.Len(t, first.Answers, 2)
	require.Less(t, first.Answers[0].LogProb, 0.)
	require.Contains(t, first.Metrics, "acc_norm")

	for flags, message := range map[string]string{
		"--suite core --data x":        "--data does not go with --suite",
		"--suite core --limit -1":      "--limit -1",
		"--limit 3":                    "--limit goes with --suite",
		"--suite-data x":               "--suite-data goes with --suite",
		"--suite hellaswagg --limit 3": "did you mean hellaswag?",
	} {
		_, err := use(t, evalCommand(), "", append([]string{filepath.Join(golden, "model")}, strings.Fields(flags)...)...)
		require.ErrorAs(t, err, &usageError{}, flags)
		require.ErrorContains(t, err, message)
	}
	_, err = use(t, evalCommand(), "", filepath.Join(golden, "model"), "--suite", "arc_easy", "--suite-data", t.TempDir())
	require.ErrorContains(t, err, "arc_easy: ")
}

func TestSuiteLine(t *testing.T) {
	require.Empty(t, suiteLine(suite.Progress{}))
	work := meter.Reading{Done: 50 << 20, Total: 200 << 20, Rate: 2 << 20, ETA: 90*time.Second + time.Millisecond}
	require.Equal(t, "piqa: 25%, 2097152 tokens/s, 1m30s left", suiteLine(suite.Progress{Task: "piqa", Work: work}))
	require.Equal(t, "piqa: download 50 of 200 MiB, 2.0 MiB/s, 1m30s left", suiteLine(suite.Progress{Task: "piqa", Fetch: true, Work: work}))
}
