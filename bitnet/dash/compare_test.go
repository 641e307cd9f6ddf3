//go:build !js

package dash_test

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"bitnet/bitnet/dash"
	"bitnet/bitnet/page/pagetest"
	"bitnet/bitnet/runs"
)

// logRun writes a run that logs every so many steps up to the last, with a
// constant loss, as one that has learned all there is.
func logRun(t *testing.T, root, name string, every, last int64, scores func(step int64) []runs.Score) {
	r, err := runs.Create(root, name, []byte("name: test\ntrain: {steps: 1000}\n"))
	require.NoError(t, err)
	l, err := r.OpenLogs(0)
	require.NoError(t, err)
	for step := every; step <= last; step += every {
		m := runs.Metrics{Step: step}
		for _, k := range runs.Keys() {
			m.Set(k, 2.7)
		}
		require.NoError(t, l.Metrics(m))
		if step%100 == 0 {
			require.NoError(t, l.Eval(runs.Eval{Step: step, Loss: 2.5, Perplexity: 12, Tokens: 10, Scores: scores(step)}))
		}
	}
	require.NoError(t, l.Close())
}

// Several runs in the same charts can be told apart and read. It needs no device.
func TestCompareInChromium(t *testing.T) {
	pagetest.Chromium(t)
	root := t.TempDir()
	const first, second = "bitnet_arithmetic_with_a_long_name_lr0.004_20261128_101500", "bitnet_arithmetic_with_a_long_name_lr0.002_20261128_113000"
	logRun(t, root, first, 10, 400, func(step int64) []runs.Score {
		return []runs.Score{
			{Name: "exact match", Value: float64(step) / 1000, Unit: runs.Share, Count: 64, Of: "problems"},
			{Name: "exact match", Part: "+", Value: 0.5, Unit: runs.Share}, {Name: "exact match", Part: "-", Value: 0.25, Unit: runs.Share},
		}
	})
	logRun(t, root, second, 70, 280, func(int64) []runs.Score { return nil })
	logRun(t, root, "games", 10, 200, func(int64) []runs.Score {
		return []runs.Score{{Name: "games won", Value: 0.75, Unit: runs.Share, Count: 1000, Of: "games"}, {Name: "legal moves", Value: 1, Unit: runs.Share}}
	})
	server := httptest.NewServer(dash.Handler(root))
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	b := pagetest.Open(t, 4*time.Minute)
	t.Cleanup(func() { b.Do(chromedp.Navigate("about:blank")) })
	visit := func(names ...string) {
		b.Do(chromedp.Navigate("about:blank"))
		b.Do(chromedp.Navigate(server.URL + "/#" + url.Values{"run": names}.Encode()))
		b.Wait("the curves are there", fmt.Sprintf(`%s.split(': from').length > %d`, lossLabel, len(names)))
	}
	titles := func() []string {
		return pagetest.Eval[[]string](b, `[...document.querySelectorAll('.chart h3')].map((e) => e.textContent)`)
	}
	var metrics []string
	for _, c := range runs.Charts() {
		metrics = append(metrics, c.Title)
	}

	// Every chart of the table is there, and one for each score, with its parts.
	visit(first)
	b.Wait("the scores come", `[...document.querySelectorAll('.chart h3')].some((e) => e.textContent === 'exact match')`)
	require.Equal(t, append([]string{metrics[0], runs.ValidationLoss, "exact match"}, metrics[1:]...), titles())
	legend := func(title string) []string {
		return pagetest.Eval[[]string](b, fmt.Sprintf(`[...[...document.querySelectorAll('.chart')].find((c) => c.querySelector('h3').textContent === %s).querySelectorAll('.curves li')].map((e) => e.textContent)`, pagetest.Quote(title)))
	}
	require.Equal(t, []string{"+", "-", "exact match"}, legend("exact match"))
	visit("games")
	b.Wait("games are shown", `[...document.querySelectorAll('.card dt')].some((e) => e.textContent === 'games won')`)
	require.Contains(t, titles(), "games won")
	require.Contains(t, titles(), "legal moves")
	require.NotContains(t, titles(), "exact match")

	// Compared charts have a legend, and names are cut in the middle.
	visit(first, second)
	for _, c := range runs.Charts()[1:] {
		want := []string{first, second}
		if len(c.Keys) > 1 { // each curve says which metric it is
			want = nil
			for _, run := range []string{first, second} {
				for _, k := range c.Keys {
					want = append(want, run+" "+k.Metric().Title)
				}
			}
		}
		require.Equal(t, want, legend(c.Title), c.Title)
	}
	require.Equal(t, []string{first, second, runs.ValidationLoss}, legend(metrics[0]))
	ends := pagetest.Eval[bool](b, `[...document.querySelectorAll('#runs .cut')].every((e) => { const [start, end] = e.children, box = e.closest('button').getBoundingClientRect(), r = end.getBoundingClientRect(); return r.right <= box.right + 1 && r.width > 5 && e.textContent === e.title; })`)
	require.True(t, ends, "the ends of the names are in sight")

	// The cursor tells each value with its own step, and so does the table.
	box := pagetest.Eval[[]float64](b, `(() => { const r = document.querySelector('.chart .plot').getBoundingClientRect(); return [r.left, r.top, r.width, r.height]; })()`)
	b.Do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, box[0]+54+0.5*(box[2]-68), box[1]+box[3]/2, chromedp.ButtonNone))
	b.Wait("the tip is there", `!document.querySelector('.chart .tip').hidden`)
	tip := pagetest.Eval[[]string](b, `[...document.querySelectorAll('.chart .tip tr')].map((r) => r.textContent)`)
	require.Len(t, tip, 3)
	require.Contains(t, tip[0], "step 200")
	require.Contains(t, tip[1], "step 200")
	require.Contains(t, tip[2], "step 210")
	b.Do(chromedp.Evaluate[chromedp.Void](`document.querySelector('.chart header button').click()`))
	b.Wait("the table shows steps", `[...document.querySelectorAll('.chart tbody td')].some((c) => c.textContent.includes('(step 70)'))`)

	// The last point reaches over the edge of the plot and is drawn whole there.
	drawn := pagetest.Eval[bool](b, `(() => {
		const canvas = [...document.querySelectorAll('.chart')][1].querySelector('canvas'), ratio = devicePixelRatio;
		const x = Math.round((canvas.clientWidth - 14 + 1.5) * ratio);
		const column = canvas.getContext('2d').getImageData(x, 0, 1, Math.round((canvas.clientHeight - 26) * ratio)).data;
		return column.some((v, i) => i % 4 === 3 && v > 100);
	})()`)
	require.True(t, drawn, "the half of the last dot beyond the edge")

	columns := pagetest.Eval[[]string](b, `[...document.querySelectorAll('#device thead th')].map((e) => e.textContent)`)
	require.Equal(t, []string{"", first, second}, columns, "all runs are under device and speed")
	right := pagetest.Eval[[]float64](b, `[document.querySelector('#device table').getBoundingClientRect().right, document.querySelector('#device').getBoundingClientRect().right]`)
	require.LessOrEqual(t, right[0], right[1]+1)

	// What comes later is drawn, too.
	log, err := os.OpenFile(filepath.Join(root, first, "logs", "metrics.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	defer log.Close()
	m := runs.Metrics{Step: 410}
	m.Set(runs.LossMean, 2.7)
	text, err := m.MarshalJSON()
	require.NoError(t, err)
	_, err = log.Write(append(text, '\n'))
	require.NoError(t, err)
	b.Wait("the curve grows", lastStep+` === 410`)
	b.Clean(server.URL)
}
