//go:build !js

package main

import (
	"archive/zip"
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"bitnet/bitnet/page/pagetest"
)

// tiny is a text experiment that takes seconds.
const tiny = `experiment: 'text', settings: {steps: '12', batch_size: '2', seq_len: '32', vocab_size: '300', hidden_size: '32', intermediate_size: '48', num_hidden_layers: '1', num_attention_heads: '2', num_key_value_heads: '1', log_interval: '1', eval_interval: '6', sample_interval: '6'}`

// packed makes a zip; a name may be hostile.
func packed(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range files {
		w, err := z.Create(name)
		require.NoError(t, err)
		_, err = w.Write([]byte(text))
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	return b.Bytes()
}

// A text that is dropped trains and samples; what is damaged or hostile gives one
// line and leaves nothing.
func TestDropInBrowser(t *testing.T) {
	p := openTab(t, 6*time.Minute)
	p.start()
	var story strings.Builder
	for i := range 300 {
		fmt.Fprintf(&story, "On day %d the cat sat on the mat. The dog ran after the cat, and both were happy. ", i)
	}
	text, failed := p.upload("My story, 1.txt", map[string][]byte{"My story, 1.txt": []byte(story.String())})
	require.Empty(t, failed)
	require.Equal(t, "text", text.Kind)
	var trained Trained
	id := p.ask(`{do: 'train', name: 'story', text: ` + pagetest.Quote(text.Name) + `, ` + tiny + `}`)
	require.Empty(t, p.answer(id, &trained))
	require.EqualValues(t, 12, trained.Step)
	require.Len(t, p.losses(id), 12)
	require.True(t, pagetest.Eval[bool](p.Browser, `of('samples').length === 2 && of('samples')[1].samples[0].text.length > 0`))
	var talked Talked
	p.must(`{do: 'talk', run: 'story', messages: [{role: 'user', content: 'The '}], tokens: 5}`, &talked)
	require.Positive(t, talked.Tokens)
	require.Contains(t, p.answer(p.ask(`{do: 'think', run: 'story', moves: ''}`), nil), "not trained on tic-tac-toe")

	var before struct{ Runs []Run }
	p.must(`{do: 'runs'}`, &before)
	model := map[string][]byte{}
	for _, name := range []string{"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} {
		data, err := os.ReadFile(filepath.Join("..", "..", "testdata", "tictactoe", name))
		require.NoError(t, err)
		model["game/"+name] = data
	}
	damaged := func(name string, change func([]byte) []byte) map[string][]byte {
		out := map[string][]byte{}
		for k, v := range model {
			out[k] = v
		}
		out["game/"+name] = change(bytes.Clone(out["game/"+name]))
		return out
	}
	cut := func(b []byte) []byte { return b[:len(b)/2] }
	for _, tt := range []struct {
		name, want string
		files      map[string][]byte
	}{
		{"noise", "neither a model", map[string][]byte{"empty.bin": {0, 1, 2, 255}}},
		{"a.gguf", "GGUF", map[string][]byte{"a.gguf": []byte("GGUF and then nothing")}},
		{"a.zip", "the zip is damaged", map[string][]byte{"a.zip": []byte("PK\x03\x04 and then nothing")}},
		{"slip.zip", "outside of its folder", map[string][]byte{"slip.zip": packed(t, map[string]string{"../../runs/evil/config.yaml": "x"})}},
		{"abs.zip", "outside of its folder", map[string][]byte{"abs.zip": packed(t, map[string]string{"/runs/evil/config.yaml": "x"})}},
		{"cut", "model.safetensors", damaged("model.safetensors", cut)},
		{"json", "config.json", damaged("config.json", cut)},
		{"tokenizer", "tokenizer", damaged("tokenizer.json", cut)},
		{"other", "model_type", damaged("config.json", func(b []byte) []byte {
			return bytes.ReplaceAll(b, []byte(`"bitnet"`), []byte(`"llama"`))
		})},
		{"data.parquet", "parquet", map[string][]byte{"data.parquet": []byte("PAR1 and then nothing PAR1")}},
		{"up", "name that cannot be kept", map[string][]byte{"../../x.txt": []byte("text")}},
	} {
		_, failed := p.upload(tt.name, tt.files)
		require.Contains(t, failed, tt.want, tt.name)
		require.NotContains(t, failed, "\n")
		require.NotContains(t, failed, "/tmp/upload")
		t.Logf("%s: %s", tt.name, failed)
	}
	require.Contains(t, p.answer(p.ask(`{do: 'upload', name: 'nothing', files: []}`), nil), "no file")
	var after struct{ Runs []Run }
	p.must(`{do: 'runs'}`, &after)
	require.Equal(t, before, after, "nothing was kept of them")

	kept, failed := p.upload("game", model)
	require.Empty(t, failed)
	require.True(t, kept.Plays)
	var thought Thought
	p.must(`{do: 'think', run: 'game', moves: '5'}`, &thought)
	require.Contains(t, thought.Perfect, thought.Choice)
	p.clean()
}

// A device that is lost in the middle of a training is opened again, and a second
// tab is told that the runs are in use.
func TestLostDeviceInBrowser(t *testing.T) {
	p := openTab(t, 6*time.Minute)
	p.start()
	id := p.ask(`{do: 'train', experiment: 'simple', name: 'lost', settings: {steps: '30', log_interval: '1', eval_interval: '0', sample_interval: '0', checkpoint_interval: '5', checkpoint_minutes: '0'}}`)
	p.Wait("it trains", fmt.Sprintf(`of('metrics').some((m) => m.id === %d && m.metrics.step >= 8)`, id))
	p.must(`{do: 'lose'}`, nil)
	var trained Trained
	require.Empty(t, p.answer(id, &trained))
	require.EqualValues(t, 30, trained.Step)
	require.True(t, pagetest.Eval[bool](p.Browser, `of('begin').length === 2 && of('note').some((n) => n.text.includes('lost'))`))
	var h History
	p.must(`{do: 'run', run: 'lost'}`, &h)
	require.Len(t, h.Steps, 30)
	p.must(`{do: 'think', run: '', moves: '5'}`, nil)
	p.must(`{do: 'lose'}`, nil)
	p.must(`{do: 'think', run: '', moves: '51'}`, nil)

	p.run(`(window.second = [], new Worker(policy.createScriptURL('worker.js')).onmessage = ({ data }) => second.push(data), 0)`)
	p.Wait("the second tab is told", `second.some((m) => m.event === 'failed' && m.kind === 'tab')`)
	p.must(`{do: 'think', run: '', moves: '512'}`, nil)
	p.clean()
}

// quota changes how many bytes the origin may store.
func (p *tab) quota(bytes float64) {
	p.t.Helper()
	_, err := chromedp.Call(p.Context, storage.OverrideQuotaForOrigin, storage.OverrideQuotaForOriginParams{Origin: p.server.URL, QuotaSize: &bytes})
	require.NoError(p.t, err)
}

// Where the browser has no more space, a training ends with one line, and what was
// saved before is still there.
func TestQuotaInBrowser(t *testing.T) {
	p := openTab(t, 6*time.Minute)
	p.start()
	const settings = `settings: {steps: '400', log_interval: '1', eval_interval: '0', sample_interval: '0', checkpoint_interval: '2', checkpoint_minutes: '0', keep_checkpoints: '100'}`
	id := p.ask(`{do: 'train', experiment: 'simple', name: 'full', ` + settings + `}`)
	p.Wait("there is a checkpoint", `of('checkpoint').length > 0`)
	var s Storage
	p.must(`{do: 'storage'}`, &s)
	p.quota(float64(s.Usage + 6<<20))
	failed := p.answer(id, nil)
	require.Contains(t, failed, "no more space")
	require.NotContains(t, failed, "\n")
	_, failed = p.upload("large.txt", map[string][]byte{"large.txt": bytes.Repeat([]byte("more text. "), 1<<20)})
	require.Contains(t, failed, "no more space")
	var list struct{ Runs []Run }
	p.must(`{do: 'runs'}`, &list)
	require.Len(t, list.Runs, 1)
	require.Positive(t, list.Runs[0].Checkpoint)
	p.must(`{do: 'talk', run: 'full', messages: [{role: 'user', content: '2+3='}], tokens: 4}`, nil)

	p.quota(1 << 30)
	var trained Trained
	p.must(fmt.Sprintf(`{do: 'train', resume: 'full', settings: {steps: '%d', checkpoint_interval: '0'}}`, list.Runs[0].Step+3), &trained)
	require.EqualValues(t, list.Runs[0].Step+3, trained.Step)
}

// What the page measures is what bitnet bench does.
func TestMeasureInBrowser(t *testing.T) {
	p := openTab(t, 8*time.Minute)
	p.start()
	var m Measured
	require.Contains(t, p.answer(p.ask(`{do: 'measure', seconds: -1}`), nil), "choose 1 to 600")
	began := time.Now()
	id := p.ask(`{do: 'measure', seconds: 0.01}`)
	require.Contains(t, p.answer(p.ask(`{do: 'train', experiment: 'simple'}`), nil), "measurement")
	require.Empty(t, p.answer(id, &m))
	require.Contains(t, m.Report, "tokens/s")
	require.Contains(t, m.Report, "training steps of simple")
	t.Logf("four parts with no time took %.0f s\n%s", time.Since(began).Seconds(), m.Report)
	require.ElementsMatch(t, measurements, slices.Collect(maps.Keys(m.Results)))
	for what, result := range m.Results {
		figures := result.(map[string]any)["figures"].([]any)
		require.NotEmpty(t, figures, what)
	}
	rates := m.Results[measurePeak].(map[string]any)["result"].(map[string]any)["rates"].([]any)
	for _, r := range rates {
		rate := r.(map[string]any)
		require.True(t, rate["median"] != nil || rate["how"] != nil, "%v has neither a figure nor a reason", rate["name"])
	}
	// Nothing can time all kernels of a step in 10 ms; those with the most
	// work are there.
	require.Contains(t, m.Report, "there was no time for more: ")
	require.Contains(t, m.Report, "training")
	id = p.ask(`{do: 'measure'}`)
	p.Wait("it measures", fmt.Sprintf(`of('note').some((n) => n.id === %d)`, id))
	p.must(fmt.Sprintf(`{do: 'stop', of: %d}`, id), nil)
	require.Empty(t, p.answer(id, &m))
	require.True(t, m.Stopped)
	p.clean()
}
