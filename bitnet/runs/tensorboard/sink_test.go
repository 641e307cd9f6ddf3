package tensorboard

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"bitnet/bitnet/runs"
)

// What a run logs goes to its logs and to TensorBoard; every metric has its tag.
func TestSink(t *testing.T) {
	run, err := runs.Create(t.TempDir(), "a", nil)
	require.NoError(t, err)
	sink, err := Open(run.TensorBoard(), 0)
	require.NoError(t, err)
	logs, err := run.OpenLogs(0, sink)
	require.NoError(t, err)
	m := runs.Metrics{Step: 2, Ternary: map[string][3]float64{"model.layers.0.q.weight": {0.25, 0.5, 0.25}}}
	want := "2"
	for i, k := range runs.Keys() {
		m.Set(k, float64(i+1))
		scale := k.Metric().Scale
		if scale == 0 {
			scale = 1
		}
		want += fmt.Sprint(" ", k.Metric().Tag, "=", float32(float64(i+1)*scale))
	}
	want += " zeros/layers.0.q=0.5"
	require.NoError(t, logs.Metrics(m))
	require.NoError(t, logs.Eval(runs.Eval{Step: 2, Loss: 1.5, Perplexity: 4, Scores: []runs.Score{
		{Name: "games won", Value: 0.75, Unit: runs.Share}, {Name: "exact match", Part: "+", Value: 0.5, Unit: runs.Share}}}))
	for _, text := range []string{"42", "a\nb"} {
		require.NoError(t, logs.Sample(runs.Sample{Step: 2, Prompt: "p ", Text: text}))
	}
	require.NoError(t, logs.Anomaly(runs.Anomaly{Step: 2, Kind: runs.LossSpike}))
	require.NoError(t, logs.Rewind(1))
	require.NoError(t, logs.Sample(runs.Sample{Step: 2, Prompt: "p ", Text: "43"}))
	require.NoError(t, logs.Close())

	files, err := filepath.Glob(filepath.Join(run.TensorBoard(), "events.out.tfevents.*"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	d := eventDescriptor(t)
	var got []string
	for _, r := range records(t, files[0]) {
		m := dynamicpb.NewMessage(d)
		require.NoError(t, proto.Unmarshal(r, m))
		got = append(got, fmt.Sprint(m.Get(d.Fields().ByName("step")).Int(), what(m)))
	}
	require.Equal(t, []string{
		"0 brain.Event:2", "1 start",
		want, "2 eval/loss=1.5 eval/perplexity=4 eval/games_won=0.75 eval/exact_match +=0.5",
		"2 samples/0=text:    p 42", "2 samples/1=text:    p a\n    b",
		"2 start", "2 samples/0=text:    p 43",
	}, got)
}
