//go:build !js

package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/page/pagetest"
)

// browser is a tab with what these tests do in it.
type browser struct {
	*pagetest.Browser
	t *testing.T
}

func openBrowser(t *testing.T) *browser {
	b := &browser{pagetest.Open(t, 4*time.Minute), t}
	b.Do(chromedp.EmulateViewport(1400, 900))
	return b
}

// run is a statement that gives nothing.
func (b *browser) run(js string) {
	b.t.Helper()
	b.Do(chromedp.Evaluate[chromedp.Void]("(() => { " + js + " })()"))
}

// say writes a message and sends it with Enter.
func (b *browser) say(text string) {
	b.t.Helper()
	b.run(`const i = document.getElementById('input'); i.focus(); i.value = ` + pagetest.Quote(text) + `; i.dispatchEvent(new Event('input'))`)
	b.enter()
}

// enter presses the key as a keyboard does: what the page prevents is not written.
func (b *browser) enter() {
	b.t.Helper()
	for _, kind := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeKeyDown, input.DispatchKeyEventTypeKeyUp} {
		_, err := chromedp.Call(b.Context, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: kind, Key: "Enter", Code: "Enter", Text: "\r", WindowsVirtualKeyCode: 13})
		require.NoError(b.t, err)
	}
}

// shot keeps a picture of the page where BITNET_SHOTS says so, for people to look at.
func (b *browser) shot(name string) {
	folder := os.Getenv("BITNET_SHOTS")
	if folder == "" {
		return
	}
	picture, err := chromedp.Run(b.Context, chromedp.CaptureScreenshot())
	require.NoError(b.t, err)
	require.NoError(b.t, os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o644))
}

// hostile is what a model may write to take over a page or a reader.
const hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>\n\n" +
	"[a link](javascript:alert(3)) ![an image](https://evil.example/x.png) https://evil.example <a href=\"https://evil.example\">b</a>\n\n" +
	"\x1b[31mred\x1b[0m and \u202etxet desrever\n\n" +
	"| <b>head</b> | two |\n|---|---|\n| <i>cell</i> | `<u>code</u>` |\n\n```html\n<iframe src=\"https://evil.example\"></iframe>\n```\n\n" +
	"- one\n- **two** and *three*\n\n> a quote\n\n## A heading\n\nsnake_case_name and 2 * 3 * 4"

// actor answers some messages as a model would that was told what to write, and
// leaves the rest to the server.
type actor struct {
	next http.Handler
	left chan struct{} // a client left in the middle of an answer
	busy int           // so many requests are refused first
}

func (a *actor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v1/chat/completions" {
		a.next.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var q struct {
		Messages []struct{ Role, Content string }
	}
	if json.Unmarshal(body, &q) != nil || len(q.Messages) == 0 {
		fail(w, 400, "invalid_json", "no messages")
		return
	}
	out := &answer{w: w, chat: true, model: "game", id: "chatcmpl-1", usage: true}
	one := &text{}
	last := q.Messages[len(q.Messages)-1].Content
	switch {
	case a.busy > 0:
		a.busy--
		busy(w, "too many requests wait already: try again")
	case strings.HasPrefix(last, "say "):
		out.begin([]*text{one})
		for words := range slices.Chunk([]rune(last[4:]), 7) {
			if out.piece(one, infer.Piece{Text: string(words)}) != nil {
				return
			}
			one.result.Tokens = append(one.result.Tokens, 1)
		}
		one.result.Reason = "stop"
		_ = out.finish(one)
		out.end([]*text{one})
	case last == "forever":
		out.begin([]*text{one})
		for i := 0; r.Context().Err() == nil; i++ {
			_ = out.piece(one, infer.Piece{Text: fmt.Sprint("word", i, " ")})
			time.Sleep(20 * time.Millisecond)
		}
		a.left <- struct{}{}
	case last == "break":
		out.begin([]*text{one})
		_ = out.piece(one, infer.Piece{Text: "half an ans"})
		time.Sleep(200 * time.Millisecond) // a browser gives up what it did not read before the end
		panic(http.ErrAbortHandler)
	default:
		r.Body = io.NopCloser(bytes.NewReader(body))
		a.next.ServeHTTP(w, r)
	}
}

const (
	answers  = `document.querySelectorAll('.message.model:not([aria-busy])').length`
	lastBody = `[...document.querySelectorAll('.message.model .body')].at(-1)`
	idle     = `document.getElementById('stop').hidden && !document.querySelector('[aria-busy]')`
)

// press clicks the last button of that text in the conversation.
func press(label string) string {
	return `[...document.querySelectorAll('.messages button')].findLast((e) => e.textContent === ` + pagetest.Quote(label) + `).click()`
}

// A conversation in a real browser: with the model that comes with the source, and
// with one that writes what a page must not do.
func TestPageInChromium(t *testing.T) {
	b := openBrowser(t)
	_, s := start(t, DefaultLimits())
	stage := &actor{next: s.Handler(), left: make(chan struct{}, 1)}
	server := httptest.NewServer(stage)
	t.Cleanup(server.Close)
	b.Do(chromedp.Navigate(server.URL))
	b.Wait("the model is named", `document.getElementById('model').textContent.startsWith('game, 48 tokens')`)
	require.True(t, pagetest.Eval[bool](b.Browser, `!document.getElementById('base').hidden`), "a base model says so")
	b.shot("welcome")
	b.run(`document.getElementById('set-temperature').value = '0'; document.getElementById('settings').dispatchEvent(new Event('input'))`)

	// An answer is streamed, told in words, and measured.
	b.say("5")
	b.Wait("the model answers", answers+` === 1 && `+idle+` && `+lastBody+`.textContent.length === 8`)
	game := pagetest.Eval[string](b.Browser, lastBody+`.textContent`)
	b.Wait("the speed is there", `/^8 tokens, [\d.]+ tokens\/s$/.test(document.querySelector('.stats').textContent)`)
	b.Wait("a screen reader hears of it", `document.getElementById('say').textContent.startsWith('Answer finished: 8 tokens')`)
	b.Wait("the conversation is listed", `document.querySelector('#list .open').textContent === '5' && document.querySelector('#list .open').getAttribute('aria-current') === 'true'`)
	require.Equal(t, "input", pagetest.Eval[string](b.Browser, `document.activeElement.id`), "the field keeps the focus")
	require.Empty(t, pagetest.Eval[string](b.Browser, `document.getElementById('input').value`))

	// Another answer, and back to the one before.
	b.run(press("Regenerate"))
	b.Wait("there are two answers", `document.querySelector('.messages').textContent.includes('2 / 2') && `+idle)
	require.Equal(t, game, pagetest.Eval[string](b.Browser, lastBody+`.textContent`), "at temperature 0 it is the same")
	b.run(press("‹"))
	b.Wait("the first is shown again", `document.querySelector('.messages').textContent.includes('1 / 2')`)

	// What was said can be changed.
	b.run(press("Edit"))
	b.Wait("there is a field", `document.activeElement.matches('.edit textarea') && document.activeElement.value === '5'`)
	b.run(`document.activeElement.value = '1'`)
	b.enter()
	b.Wait("it is answered again", answers+` === 1 && `+idle+` && `+lastBody+`.textContent !== `+pagetest.Quote(game))
	require.Equal(t, "1", pagetest.Eval[string](b.Browser, `document.querySelector('.user .body').textContent`))

	// Hostile output is text.
	b.run(`document.getElementById('new').click()`)
	b.say("say " + hostile)
	b.Wait("all is there", answers+` === 1 && `+idle+` && `+lastBody+`.querySelector('h4')?.textContent === 'A heading'`)
	shown := pagetest.Eval[string](b.Browser, lastBody+`.innerText`)
	for _, want := range []string{"<script>alert(1)</script><img src=x onerror=alert(2)>", "[a link](javascript:alert(3)) ![an image](https://evil.example/x.png)",
		"⟨U+001B⟩[31mred⟨U+001B⟩[0m", "⟨U+202E⟩txet", "<b>head</b>", "<i>cell</i>", "<u>code</u>", `<iframe src="https://evil.example"></iframe>`, "snake_case_name and 2 * 3 * 4"} {
		require.Contains(t, shown, want)
	}
	require.Zero(t, pagetest.Eval[int](b.Browser, `document.querySelectorAll('.message :is(a, img, script, iframe, b, i, u, [onerror], [href], [src])').length`))
	require.Equal(t, 1, pagetest.Eval[int](b.Browser, lastBody+`.querySelectorAll('table').length`))
	require.Equal(t, []string{"one", "two and three"}, pagetest.Eval[[]string](b.Browser, `[...`+lastBody+`.querySelectorAll('li')].map((e) => e.textContent)`))
	require.Equal(t, "two", pagetest.Eval[string](b.Browser, lastBody+`.querySelector('strong').textContent`))
	b.shot("wide-light")
	b.run(press("As written"))
	b.Wait("it can be shown as it was written", lastBody+`.textContent.includes('- **two** and *three*')`)

	// Stop.
	b.say("forever")
	b.Wait("words come", `(`+lastBody+`?.textContent ?? '').includes('word9')`)
	b.Wait("the answer is busy", `document.querySelector('[aria-busy=true]') !== null && document.getElementById('send').hidden`)
	b.Do(chromedp.KeyEvent("\x1b"))
	b.Wait("Escape stops it", idle+` && [...document.querySelectorAll('.stats')].at(-1).textContent.includes('stopped')`)
	select {
	case <-stage.left:
	case <-b.Context.Done():
		t.Fatal("the server writes on")
	}
	require.Contains(t, pagetest.Eval[string](b.Browser, lastBody+`.textContent`), "word9", "what was written stays")

	// Leaving a conversation stops its answer, and keeps what there is of it.
	b.say("forever")
	b.Wait("words come again", `(document.querySelector('[aria-busy] .body')?.textContent ?? '').includes('word9')`)
	b.run(`document.getElementById('new').click()`)
	b.Wait("a new conversation can begin", `document.getElementById('stop').hidden && !document.getElementById('send').hidden && document.querySelectorAll('.message').length === 0`)
	<-stage.left
	b.run(`document.querySelector('#list .open').click()`)
	b.Wait("the old one has what there was", answers+` === 3 && `+lastBody+`.textContent.includes('word9')`)

	// Trouble is told in words.
	b.say("break")
	b.Wait("a cut answer says so", idle+` && document.getElementById('problem').textContent.includes('The answer was cut')`)
	require.Equal(t, "half an ans", pagetest.Eval[string](b.Browser, lastBody+`.textContent`))
	require.Contains(t, pagetest.Eval[string](b.Browser, `[...document.querySelectorAll('.stats')].at(-1).textContent`), "not finished")
	b.run(`document.getElementById('problem-close').click()`)
	stage.busy = 1
	b.say("say at last")
	b.Wait("it waits for a place", `document.querySelector('[aria-busy]')?.textContent.includes('the server is busy')`)
	b.Wait("and gets one", idle+` && `+lastBody+`.textContent === 'at last'`)

	// Everything is there after a reload, and can be removed.
	b.Do(chromedp.Navigate(server.URL))
	b.Wait("both conversations are listed", `document.querySelectorAll('#list li').length === 2`)
	b.run(`document.querySelectorAll('#list .open')[0].click()`)
	b.Wait("the newest is as it was", answers+` === 5 && `+lastBody+`.textContent === 'at last'`)
	b.run(`document.querySelector('#list [title=Rename]').click()`)
	b.run(`document.activeElement.value = 'Hostile things'`)
	b.enter()
	b.Wait("it has another title", `document.querySelector('#list .open').textContent === 'Hostile things'`)
	b.run(`document.querySelectorAll('#list [title=Delete]')[1].click()`)
	b.Wait("it asks first", `document.getElementById('confirm').open`)
	b.run(`document.querySelector('#confirm [value=yes]').click()`)
	b.Wait("one is left", `document.querySelectorAll('#list li').length === 1`)

	b.named()
	b.themesAndPhone()

	for _, m := range b.Console() { // the browser itself reports the refused and the cut request
		require.Regexp(t, `429|ERR_INCOMPLETE_CHUNKED_ENCODING`, m)
	}
	b.Asked(server.URL + "/")
}

// named checks that everything that can be used has a name.
func (b *browser) named() {
	text := func(v *accessibility.Value) (s string) {
		if v != nil && len(v.Value) > 0 {
			require.NoError(b.t, json.Unmarshal(v.Value, &s))
		}
		return s
	}
	b.run(`document.getElementById('open-settings').click()`)
	b.shot("settings")
	named := 0
	for range 2 { // with the settings open, and without
		tree, err := chromedp.Call(b.Context, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
		require.NoError(b.t, err)
		for _, n := range tree.Nodes {
			if n.Ignored || n.Role == nil {
				continue
			}
			switch role := text(n.Role); role {
			case "button", "textbox", "spinbutton", "navigation", "dialog", "region":
				require.NotEmpty(b.t, text(n.Name), "a %s has no name", role)
				named++
			}
		}
		b.run(`document.getElementById('settings').close()`)
	}
	require.Greater(b.t, named, 25)
}

// themesAndPhone checks dark and light, and a narrow screen.
func (b *browser) themesAndPhone() {
	background := `getComputedStyle(document.body).backgroundColor`
	first := pagetest.Eval[string](b.Browser, background)
	b.run(`document.querySelector('.scroll').scrollTop = 0; document.getElementById('theme').click()`)
	b.Wait("dark and light", background+` !== `+pagetest.Quote(first))
	b.shot("wide-dark")
	b.Do(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile, chromedp.EmulateTouch))
	b.Wait("a phone does not scroll sideways", `document.documentElement.scrollWidth <= 390 && document.getElementById('input').clientWidth > 200`)
	b.shot("phone-dark")
	require.Equal(b.t, "hidden", pagetest.Eval[string](b.Browser, `getComputedStyle(document.getElementById('list-box')).visibility`))
	b.run(`document.getElementById('open-list').click()`)
	b.Wait("the list comes", `getComputedStyle(document.getElementById('list-box')).visibility === 'visible' && document.getElementById('open-list').getAttribute('aria-expanded') === 'true'`)
	b.shot("phone-list")
	b.run(`document.querySelector('#list .open').click()`)
	b.Wait("and goes", `getComputedStyle(document.getElementById('list-box')).visibility === 'hidden'`)
	b.run(`document.getElementById('theme').click(); document.querySelector('.scroll').scrollTop = 0`)
	b.shot("phone-light")
	b.Do(chromedp.EmulateViewport(1400, 900))
}

// A server with a key lets the page in, which then asks for the key.
func TestPageAsksForTheKey(t *testing.T) {
	b := openBrowser(t)
	web, _ := startFor(t, DefaultLimits(), Access{Key: "secret", Hosts: []string{"127.0.0.1"}})
	b.Do(chromedp.Navigate(web.URL))
	b.Wait("it asks", `document.getElementById('ask-key').open`)
	give := func(key string) {
		b.run(`document.getElementById('key').value = ` + pagetest.Quote(key) + `; document.querySelector('#key-form .primary').click()`)
	}
	give("wrong")
	b.Wait("it asks again", `document.getElementById('ask-key').open && document.getElementById('key').value === ''`)
	give("secret")
	b.Wait("it is let in", `document.getElementById('model').textContent.startsWith('game')`)
	b.say("5")
	b.Wait("the model answers", answers+` === 1 && `+idle)
	require.Equal(t, "null", pagetest.Eval[string](b.Browser, `String(localStorage.getItem('key'))`), "the key goes with the tab")
}
