//go:build !js

package dash_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"bitnet/bitnet/dash"
	"bitnet/bitnet/page/pagetest"
	"bitnet/bitnet/runs"
)

// The page shows the swarm of a run, and no panel for a run that trains alone. What
// other machines call themselves is text, never markup.
func TestSwarmInChromium(t *testing.T) {
	root := t.TempDir()
	b := pagetest.Open(t, 4*time.Minute)
	server := httptest.NewServer(dash.Handler(root, "localhost"))
	t.Cleanup(server.Close)
	_, err := runs.Create(root, "alone", []byte("name: alone\n"))
	require.NoError(t, err)
	r, err := runs.Create(root, "shared", []byte("name: shared\n"))
	require.NoError(t, err)
	const evil = `<img src=x onerror=alert(1)>`
	require.NoError(t, r.WriteSwarm(&runs.Swarm{
		Name: "main", ID: "ab", Phase: runs.SwarmTraining, Round: 12, Step: 1200, Steps: 5000, Tokens: 3_000_000, Me: "mine", At: time.Now(),
		Workers: []runs.SwarmWorker{
			{Name: "mine", Card: "a card", Here: true, Rounds: 12, Steps: 1200, Sent: 5 << 20, TokensPerSec: 1234},
			{Name: evil, Card: evil, Seen: time.Now(), LeftOut: 2, Reason: "round 3: " + evil},
		},
		Rounds: []runs.SwarmRound{{Round: 11, Seconds: 50, Workers: 1, Steps: 100, LeftOut: []string{evil + ": it left"}}},
	}))
	b.Do(chromedp.Navigate(server.URL + "/#run=shared"))
	b.Wait("the swarm's panel", `document.getElementById("swarm") && document.getElementById("swarm").textContent.includes("main: training, round 12, step 1,200 of 5,000")`)
	text := pagetest.Eval[string](b, `document.getElementById("swarm").textContent`)
	for _, want := range []string{"This run is mine", "a card", "5 MiB", "1.23k", evil, "2 (round 3: " + evil} {
		require.Contains(t, text, want)
	}
	require.False(t, pagetest.Eval[bool](b, `document.getElementById("swarm-panel").hidden`))
	require.Zero(t, pagetest.Eval[int](b, `document.querySelectorAll("#swarm img").length`))
	b.Do(chromedp.Navigate(server.URL + "/#run=alone"))
	b.Wait("a run without a swarm", `document.getElementById("swarm-panel").hidden`)
	b.Clean(server.URL)
}
