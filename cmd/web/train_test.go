//go:build !js

package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet"
	"bitnet/bitnet/eval"
	"bitnet/bitnet/infer"
	"bitnet/bitnet/page/pagetest"
	"bitnet/bitnet/runs"
	"bitnet/bitnet/task/tictactoe"
	"bitnet/bitnet/train"
	"bitnet/gpu"
)

// native opens this machine's device.
func native(t *testing.T) *gpu.Device {
	t.Helper()
	dev, err := gpu.Open("")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(dev.Close)
	return dev
}

// compared is how many steps are compared closely.
const compared = 10

// natively runs a test of this file in a process that computes on the adapter that
// Chromium uses, and gives what the test says. That adapter is SwiftShader, which
// comes with Chromium as a Vulkan driver, too; a process sees it if its environment
// says so when it starts.
func natively[T any](t *testing.T, b *pagetest.Browser, test string) (out T) {
	t.Helper()
	driver := b.SwiftShader()
	if driver == "" {
		t.Skip("this Chromium does not bring SwiftShader as a Vulkan driver (vk_swiftshader_icd.json; SWIFTSHADER may name it): the page is compared with nothing")
	}
	c := exec.Command(os.Args[0], "-test.run=^"+test+"$")
	c.Env = append(os.Environ(), nativeRun+"=1", "VK_DRIVER_FILES="+driver, "VK_ICD_FILENAMES="+driver, "BITNET_BACKEND=wgpu")
	text, err := c.CombinedOutput()
	require.NoError(t, err, "%s", text)
	_, text, found := bytes.Cut(text, []byte(nativeMark))
	require.True(t, found, "%s", text)
	require.NoError(t, json.NewDecoder(bytes.NewReader(text)).Decode(&out))
	return out
}

// nativeRun marks the process that natively starts, nativeMark what it says.
const (
	nativeRun  = "BITNET_WEB_NATIVE"
	nativeMark = "natively: "
)

// skipHere skips a test that only natively runs.
func skipHere(t *testing.T, of string) {
	if os.Getenv(nativeRun) == "" {
		t.Skip("it is a part of " + of)
	}
}

func say(t *testing.T, v any) {
	text, err := json.Marshal(v)
	require.NoError(t, err)
	fmt.Printf("%s%s\n", nativeMark, text)
}

// TestNativeLosses trains like the page, and says the losses of the first steps.
func TestNativeLosses(t *testing.T) {
	skipHere(t, "TestTrainInBrowser")
	c, err := experiment("simple")
	require.NoError(t, err)
	for _, s := range []string{"steps=60", "log_interval=1", "eval_interval=0"} {
		require.NoError(t, c.Set(s))
	}
	c.LimitWarmup()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	out := map[int64]float64{}
	metrics := func(m runs.Metrics) {
		if out[m.Step] = m.Get(runs.Loss); m.Step == compared {
			stop()
		}
	}
	_, err = bitnet.Train(ctx, c, bitnet.TrainOptions{Start: train.Start{RunsDir: t.TempDir()}, Events: train.Events{Metrics: metrics}})
	require.ErrorIs(t, err, context.Canceled)
	say(t, out)
}

const simple60 = `{do: 'train', experiment: 'simple', name: 'first', settings: {steps: '60', log_interval: '1', eval_interval: '0', checkpoint_interval: '20', checkpoint_minutes: '0'}}`

// Sixty steps in the page are those of the program: the same batches, the same
// losses but for the rounding of another adapter. What was trained is downloaded
// and evaluated by the program with the same loss.
func TestTrainInBrowser(t *testing.T) {
	dev := native(t)
	p := openTab(t, 8*time.Minute)
	p.start()
	id := p.ask(simple60)
	var trained Trained
	require.Empty(t, p.answer(id, &trained))
	require.Equal(t, Trained{Run: "first", State: runs.Finished, Step: 60}, trained)
	got := p.losses(id)
	require.Len(t, got, 60)
	require.Less(t, got[60], got[1]-1.5, "it learns")
	t.Run("as natively", func(t *testing.T) {
		want := natively[map[int64]float64](t, p.Browser, "TestNativeLosses")
		worst := 0.0
		for step := range int64(compared) {
			loss, ok := want[step+1]
			require.True(t, ok, "step %d is missing natively: %v", step+1, want)
			worst = max(worst, math.Abs(got[step+1]-loss)/loss)
		}
		require.Less(t, worst, 1e-4, "%v in the page, %v natively", got, want)
		t.Logf("largest difference of the first %d losses: %.2g; the loss of step 60 is %.4f", compared, worst, got[60])
	})

	var begun []Begin
	p.json(`of('begin')`, &begun)
	require.Len(t, begun, 1)
	require.EqualValues(t, 512, begun[0].TokensPerStep)
	require.Positive(t, begun[0].Parameters)
	var samples []struct{ Samples []runs.Sample }
	p.json(`of('samples')`, &samples)
	require.NotEmpty(t, samples)
	require.NotEmpty(t, samples[0].Samples)
	require.EqualValues(t, 64*64, pagetest.Eval[int](p.Browser, `of('weights').find((w) => w.rows === 64 && w.cols === 64).codes.length`))
	require.True(t, pagetest.Eval[bool](p.Browser, `of('weights').every((w) => w.codes instanceof Uint8Array && w.codes.every((c) => c <= 2) && Math.abs(w.shares[0] + w.shares[1] + w.shares[2] - 1) < 1e-9)`))
	require.NotEmpty(t, pagetest.Eval[int](p.Browser, `of('progress').length`))

	var h History
	p.must(`{do: 'run', run: 'first'}`, &h)
	require.Len(t, h.Steps, 60)
	require.InDelta(t, got[60], *h.Series["loss"][59], 1e-6)
	require.Len(t, h.Evals, 1)
	require.Equal(t, runs.Finished, h.Run.State)

	// The folder is a model for the program: the validation loss is the page's.
	dir := unzipped(t, p.download("first", "folder"))
	config, err := os.ReadFile(filepath.Join(dir, "first", "config.yaml"))
	require.NoError(t, err)
	require.Contains(t, string(config), "steps: 60")
	e, err := train.Evaluate(context.Background(), dev, filepath.Join(dir, "first"), train.EvalOptions{Options: eval.Options{Rows: 64}})
	require.NoError(t, err)
	require.InDelta(t, float64(h.Evals[0].Scores[0].Value), float64(e.Loss), 1e-4)

	// The checkpoint is a run again; the GGUF file a model that talks.
	p.upload("again.zip", map[string][]byte{"again.zip": p.download("first", "checkpoint")})
	p.upload("model.gguf", map[string][]byte{"model.gguf": p.download("first", "gguf")})
	var list struct{ Runs []Run }
	p.must(`{do: 'runs'}`, &list)
	kinds := map[string]string{}
	for _, r := range list.Runs {
		kinds[r.Name] = r.Kind
	}
	require.Equal(t, map[string]string{"first": "run", "again": "run", "model": "model"}, kinds)
	var resumed Trained
	p.must(`{do: 'train', resume: 'again', settings: {steps: '65'}}`, &resumed)
	require.EqualValues(t, 65, resumed.Step)
	var a, b Talked
	p.must(`{do: 'talk', run: 'first', messages: [{role: 'user', content: '2+3='}], tokens: 8, sampling: {temperature: 0, top_p: 1, repetition_penalty: 1}}`, &a)
	p.must(`{do: 'talk', run: 'model', messages: [{role: 'user', content: '2+3='}], tokens: 8, sampling: {temperature: 0, top_p: 1, repetition_penalty: 1}}`, &b)
	require.NotEmpty(t, a.Tokens)
	require.Equal(t, a.Text, b.Text)
	require.Equal(t, a.Text, nativeText(t, filepath.Join(dir, "first"), "2+3=", 8))
	p.must(`{do: 'remove', run: 'again'}`, nil)
	p.must(`{do: 'remove', run: 'model'}`, nil)
	require.Contains(t, p.answer(p.ask(`{do: 'run', run: 'again'}`), nil), "removed")
	p.clean()
}

func nativeText(t *testing.T, dir, prompt string, tokens int) string {
	m, err := bitnet.Open(context.Background(), dir, bitnet.OpenOptions{})
	require.NoError(t, err)
	defer m.Close()
	text, err := m.Generate(context.Background(), prompt, bitnet.GenerateOptions{Tokens: tokens})
	require.NoError(t, err)
	return text
}

// download gives the file of a form.
func (p *tab) download(run, form string) []byte {
	p.t.Helper()
	id := p.ask(fmt.Sprintf(`{do: 'download', run: %s, form: %s}`, pagetest.Quote(run), pagetest.Quote(form)))
	require.Empty(p.t, p.answer(id, nil))
	p.run(fmt.Sprintf(`(base64(answers[%d].file).then((text) => (answers[%d].text = text)), 0)`, id, id))
	p.Wait("the file is read", fmt.Sprintf(`typeof answers[%d].text === 'string'`, id))
	data, err := base64.StdEncoding.DecodeString(pagetest.Eval[string](p.Browser, fmt.Sprintf(`answers[%d].text`, id)))
	require.NoError(p.t, err)
	return data
}

// upload drops files; the error is that of the answer.
func (p *tab) upload(name string, files map[string][]byte) (Run, string) {
	p.t.Helper()
	var list []string
	for path, data := range files {
		list = append(list, fmt.Sprintf(`{path: %s, file: file(%s)}`, pagetest.Quote(path), pagetest.Quote(base64.StdEncoding.EncodeToString(data))))
	}
	var r Run
	text, err := json.Marshal(name)
	require.NoError(p.t, err)
	failed := p.answer(p.ask(fmt.Sprintf(`{do: 'upload', name: %s, files: [%s]}`, text, join(list))), &r)
	return r, failed
}

func join(list []string) (out string) {
	for i, s := range list {
		if i > 0 {
			out += ", "
		}
		out += s
	}
	return out
}

// unzipped writes a zip's files to a folder.
func unzipped(t *testing.T, data []byte) string {
	t.Helper()
	dir := t.TempDir()
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	require.NoError(t, err)
	for _, f := range z.File {
		require.True(t, filepath.IsLocal(f.Name))
		r, err := f.Open()
		require.NoError(t, err)
		body, err := io.ReadAll(r)
		require.NoError(t, err)
		path := filepath.Join(dir, f.Name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, body, 0o644))
	}
	return dir
}

// A reload in the middle of a training loses nothing: it continues bit by bit as
// if nothing had happened, after a pause too.
func TestReloadInBrowser(t *testing.T) {
	p := openTab(t, 8*time.Minute)
	p.start()
	const settings = `settings: {steps: '40', batch_size: '4', log_interval: '1', eval_interval: '0', sample_interval: '0', checkpoint_interval: '5', checkpoint_minutes: '0'}`
	id := p.ask(`{do: 'train', experiment: 'simple', name: 'whole', ` + settings + `}`)
	require.Empty(t, p.answer(id, nil))
	want := p.losses(id)
	require.Len(t, want, 40)
	whole := p.download("whole", "folder")

	id = p.ask(`{do: 'train', experiment: 'simple', name: 'broken', ` + settings + `}`)
	p.run(fmt.Sprintf(`(document.title = 'before', whenAt(%d, 8, () => location.reload()))`, id))
	p.Wait("it is reloaded in the middle", `document.title === 'test' && typeof start === 'function'`)
	p.start()
	var list struct{ Runs []Run }
	p.must(`{do: 'runs'}`, &list)
	require.Len(t, list.Runs, 2)
	for _, r := range list.Runs {
		if r.Name == "broken" {
			require.Equal(t, runs.Crashed, r.State, r.Why)
			require.True(t, r.Resumes)
			require.GreaterOrEqual(t, r.Checkpoint, int64(5))
			t.Logf("reloaded at step %d, continues from %d", r.Step, r.Checkpoint)
		}
	}

	// A pause is a stop and a resume.
	id = p.ask(`{do: 'train', resume: 'broken'}`)
	p.run(fmt.Sprintf(`whenAt(%d, 0, () => ask({do: 'stop', of: %d}))`, id, id))
	var stopped Trained
	require.Empty(t, p.answer(id, &stopped))
	require.Equal(t, runs.Stopped, stopped.State)
	require.Less(t, stopped.Step, int64(40))
	p.must(`{do: 'train', resume: 'broken'}`, nil)

	var h History
	p.must(`{do: 'run', run: 'broken'}`, &h)
	require.Len(t, h.Steps, 40)
	for i, step := range h.Steps {
		require.InDelta(t, want[step], *h.Series["loss"][i], 1e-12, "step %d", step)
	}
	a, b := unzipped(t, whole), unzipped(t, p.download("broken", "folder"))
	x, err := os.ReadFile(filepath.Join(a, "whole", "model.safetensors"))
	require.NoError(t, err)
	y, err := os.ReadFile(filepath.Join(b, "broken", "model.safetensors"))
	require.NoError(t, err)
	require.True(t, bytes.Equal(x, y), "the weights differ")
	p.clean()
}

// positions are 50 positions of a game that is not over, as the moves so far.
func positions(t *testing.T) []string {
	random := rand.New(rand.NewPCG(1, 2))
	seen := map[string]bool{"": true}
	for len(seen) < 50 {
		var b tictactoe.Board
		for n := random.IntN(8); n > 0 && !b.Over(); n-- {
			legal := b.Legal()
			require.NoError(t, b.Play(legal[random.IntN(len(legal))]))
		}
		if !b.Over() {
			seen[b.Text()] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// TestNativeThoughts says what the shipped model thinks of the positions.
func TestNativeThoughts(t *testing.T) {
	skipHere(t, "TestPlayInBrowser")
	m, err := infer.Open(context.Background(), native(t), "", filepath.Join("..", "..", "testdata", "tictactoe"), func(string) {})
	require.NoError(t, err)
	thinker, err := tictactoe.NewThinker(m)
	require.NoError(t, err)
	defer thinker.Release()
	var out []tictactoe.Thought
	for _, moves := range positions(t) {
		var b tictactoe.Board
		for _, m := range moves {
			require.NoError(t, b.Play(int(m-'0')))
		}
		thought, err := thinker.Think(context.Background(), b)
		require.NoError(t, err)
		out = append(out, thought)
	}
	say(t, out)
}

// The shipped model thinks the same as natively in 50 positions.
func TestPlayInBrowser(t *testing.T) {
	p := openTab(t, 5*time.Minute)
	p.start()
	want := natively[[]tictactoe.Thought](t, p.Browser, "TestNativeThoughts")
	largest := 0.0
	for i, moves := range positions(t) {
		var b tictactoe.Board
		for _, m := range moves {
			require.NoError(t, b.Play(int(m-'0')))
		}
		var got Thought
		p.must(fmt.Sprintf(`{do: 'think', run: '', moves: '%s'}`, moves), &got)
		require.Equal(t, want[i].Choice, got.Choice, moves)
		require.Equal(t, tictactoe.PerfectMoves(b), got.Perfect)
		for cell := range want[i].Cells {
			largest = max(largest, math.Abs(want[i].Cells[cell]-got.Squares[cell]))
		}
	}
	require.Less(t, largest, 1e-9, "the same kernels on the same adapter")
	t.Logf("50 positions: the same moves; largest difference of a probability %.2g", largest)
	p.clean()
}
