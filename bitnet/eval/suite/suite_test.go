package suite

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/data"
)

func TestFind(t *testing.T) {
	names := func(list string) (out []string) {
		tasks, err := Find(list)
		require.NoError(t, err)
		for _, t := range tasks {
			out = append(out, t.Name)
		}
		return out
	}
	require.Equal(t, []string{"hellaswag", "piqa", "arc_easy", "arc_challenge", "lambada_openai"}, names("core"))
	require.Equal(t, []string{"piqa", "lambada_openai"}, names("piqa, lambada,piqa"))
	require.Len(t, names("arc_easy,core"), 5)
	_, err := Find("core,helaswag")
	require.EqualError(t, err, `there is no suite or task "helaswag" (did you mean hellaswag?): choose from core, hellaswag, piqa, arc_easy, arc_challenge, lambada_openai`)
}

// What Python's str.capitalize gives.
func TestCapitalize(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "a": "A", "hELLO World": "Hello world", "'ABC": "'abc", "ÉTÉ": "Été", "ßA": "Ssa", "ﬁND": "Find",
		"ὈΔΥΣΣΕΎΣ": "Ὀδυσσεύς", "İX": "İx", "AİB": "Ai̇b", "ΑΣ": "Ας", "1A": "1a", "ǆA": "ǅa",
	} {
		require.Equal(t, want, capitalize(text))
	}
}

func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		" \t\x1ca\u00a0": "a", "a [title] b": "a. b", "a [x] b": "a b", "a   b": "a  b", "[a]\n[b\nc]": "\n[b\nc]", "x[a][b]]y": "x]y",
	} {
		require.Equal(t, want, clean(text), "%q", text)
	}
}

func TestArgmax(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(-1)
	for _, c := range []struct {
		values []float64
		want   int
	}{{[]float64{1, 3, 3}, 1}, {[]float64{inf, inf}, 0}, {[]float64{2, nan, 5, nan}, 1}, {[]float64{nan, 7}, 0}} {
		require.Equal(t, c.want, argmax(c.values))
	}
}

// The numbers that Python gives: random.Random(seed).random().
func TestTwister(t *testing.T) {
	for seed, want := range map[uint32][]float64{
		0: {0.8444218515250481, 0.7579544029403025}, 1: {0.13436424411240122, 0.8474337369372327}, 99: {0.40397807494366633, 0.20007544457494542},
	} {
		r := newTwister(seed)
		for _, w := range want {
			require.Equal(t, w, r.float())
		}
	}
}

// Requests lie in rows without touching each other, and each keeps its targets.
func TestPacker(t *testing.T) {
	var requests []request
	id := uint32(1)
	ids := func(n int) (out []uint32) {
		for range n {
			out = append(out, id)
			id++
		}
		return out
	}
	for i := range 40 {
		requests = append(requests, request{ids(1 + i*7%30), ids(1 + i%5)})
	}
	requests = append(requests, request{ids(200), ids(10)}) // loses its beginning
	const most = 64
	p := newPacker(requests, most)
	require.LessOrEqual(t, p.seq, most)
	b := data.NewPackedBatch(p.rows(), p.seq)
	found := map[int][]uint32{}
	for row := 0; p.Next(b) == nil; row += b.Rows {
		for i, target := range b.Targets {
			if target == data.Ignore {
				continue
			}
			r := p.table[row+i/b.Seq].find(i % b.Seq)
			found[r.request] = append(found[r.request], target)
			require.Equal(t, uint32(r.begin), b.Begins[i])
			require.Equal(t, target-1, b.Inputs[i]) // ids follow each other in a request
			if len(found[r.request]) == 1 {
				require.Equal(t, r.first, i%b.Seq)
				require.Equal(t, requests[r.request].inputs(most)[0], b.Inputs[i/b.Seq*b.Seq+r.begin])
			}
		}
	}
	require.Len(t, found, len(requests))
	for i, r := range requests {
		require.Equal(t, r.continuation, found[i])
		require.LessOrEqual(t, len(r.inputs(most)), most)
	}
}

func results() *Results {
	tasks := Tasks()
	return &Results{
		Model: "m", Parameters: 7, Device: "d", Context: 96, Limit: 5,
		Tasks: []TaskResult{
			{Task: tasks[2], Questions: 5, Total: 2376, Metrics: []Metric{{"acc", 0.25, 0.125, true}, {"acc_norm", 1. / 3, math.NaN(), true}}},
			{Task: tasks[4], Questions: 1, Total: 5153, Metrics: []Metric{{"perplexity", 123.456, math.NaN(), false}, {"acc", 1, 0, true}}},
		},
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	require.NoError(t, results().Table(&b))
	require.Equal(t, `
|Tasks         |Version|Filter|n-shot|Metric    | |   Value| |Stderr|
|--------------|------:|------|-----:|----------|-|-------:|-|-----:|
|arc_easy      |      1|none  |     0|acc       |↑|  0.2500|±|0.1250|
|              |       |none  |     0|acc_norm  |↑|  0.3333|±|   N/A|
|lambada_openai|      1|none  |     0|perplexity|↓|123.4560|±|   N/A|
|              |       |none  |     0|acc       |↑|  1.0000|±|0.0000|
`, "\n"+b.String())
}

// The JSON has the names and places of lm-eval's results files.
func TestJSON(t *testing.T) {
	b, err := json.Marshal(results())
	require.NoError(t, err)
	var got map[string]any
	require.NoError(t, json.Unmarshal(b, &got))
	at := func(path ...string) any {
		var v any = got
		for _, name := range path {
			v = v.(map[string]any)[name]
		}
		return v
	}
	require.Equal(t, 0.25, at("results", "arc_easy", "acc,none"))
	require.Equal(t, 0.125, at("results", "arc_easy", "acc_stderr,none"))
	require.Equal(t, "N/A", at("results", "arc_easy", "acc_norm_stderr,none"))
	require.Equal(t, 123.456, at("results", "lambada_openai", "perplexity,none"))
	require.Equal(t, map[string]any{"original": 2376., "effective": 5.}, at("n-samples", "arc_easy"))
	require.Equal(t, 1., at("versions", "arc_easy"))
	require.Equal(t, 0., at("n-shot", "lambada_openai"))
	require.Equal(t, false, at("higher_is_better", "lambada_openai", "perplexity"))
	require.Equal(t, "allenai/ai2_arc", at("configs", "arc_easy", "dataset_path"))
	require.Equal(t, "ARC-Easy", at("configs", "arc_easy", "dataset_name"))
	require.Equal(t, "multiple_choice", at("configs", "arc_easy", "output_type"))
	require.Equal(t, "loglikelihood", at("configs", "lambada_openai", "output_type"))
	require.Equal(t, 5., at("config", "limit"))
	require.Equal(t, "m", at("config", "model_args", "pretrained"))
	require.Equal(t, fmt.Sprint(7), fmt.Sprint(at("config", "model_num_parameters")))
}
