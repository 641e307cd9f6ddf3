package report

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/bench"
	"bitnet/gpu"
	"bitnet/graph"
	"bitnet/graph/tune"
)

// TestPartProcess is no test but the process of a part, which behaves as the
// backend in its request says.
func TestPartProcess(t *testing.T) {
	if os.Getenv("BITNET_TEST_PART") == "" {
		t.Skip("a part of TestParts")
	}
	var req request
	if err := json.NewDecoder(os.Stdin).Decode(&req); err != nil {
		os.Exit(9)
	}
	say := func(m message) { json.NewEncoder(os.Stdout).Encode(m) }
	some := &Result{Checks: &Checks{Of: 5, Ran: 2, Families: []string{"norm/rms"}}}
	switch req.Backend {
	case "fine":
		say(message{Says: "it was made smaller"})
		say(message{Result: some})
		some.Checks.Ran = 5
		say(message{Result: some})
		say(message{Done: true})
	case "chatters":
		fmt.Println("MESA-WARNING: a driver that writes to standard output")
		say(message{Result: some})
		say(message{Done: true})
	case "fails":
		say(message{Done: true, Error: "the graphics device was lost\x1b[31m"})
	case "dies":
		say(message{Result: some})
		fmt.Fprintln(os.Stderr, "thread '<unnamed>' panicked at 'wgpu error: out of memory'")
		os.Exit(134)
	case "hangs":
		say(message{Result: some})
		time.Sleep(time.Hour)
	case "is empty":
	case "is cut":
		say(message{Result: some})
		say(message{Done: true, Cut: true})
	}
	os.Exit(0)
}

func newTestMaker(t *testing.T, minutes float64) *maker {
	t.Setenv("BITNET_TEST_PART", "1")
	dir := t.TempDir()
	log, err := os.Create(filepath.Join(dir, "report.log"))
	require.NoError(t, err)
	t.Cleanup(func() { log.Close() })
	return &maker{
		Options: Options{Dir: dir, Minutes: minutes, Part: []string{os.Args[0], "-test.run", "^TestPartProcess$"}, Told: func(string) {}},
		log:     log, end: time.Now().Add(time.Duration(minutes * float64(time.Minute))), tunings: map[string]string{}, units: map[string]*Checks{},
		report: &Report{Schema: Schema, Device: "a card", Main: "fine", Started: time.Now(), Minutes: minutes},
	}
}

func (m *maker) test(t *testing.T, backends ...string) []Part {
	var parts []item
	for _, b := range backends {
		parts = append(parts, machine{name: "a card"}.part(kindChecks, b, "", 10, 0.1))
	}
	require.NoError(t, m.all(t.Context(), parts))
	return m.report.Parts
}

// Whatever a part does, it is written down, what it found before is kept, and the
// rest goes on.
func TestParts(t *testing.T) {
	m := newTestMaker(t, 1)
	parts := m.test(t, "fails", "dies", "is empty", "chatters", "is cut", "fine")
	for i, want := range []struct {
		status Status
		says   string
		ran    int
	}{
		{Failed, "the graphics device was lost", 0},
		{Failed, "panicked at 'wgpu error: out of memory'", 2},
		{Failed, "ended without a result", 0},
		{Done, "", 2},
		{Cut, "", 2},
		{Done, "it was made smaller", 5},
	} {
		p := parts[i]
		require.Equal(t, want.status, p.Status, "%+v", p)
		require.Contains(t, p.Says, want.says)
		require.NotContains(t, p.Says, "\x1b")
		if want.ran == 0 {
			require.Nil(t, p.Checks)
		} else {
			require.Equal(t, want.ran, p.Checks.Ran)
		}
	}
	log, err := os.ReadFile(filepath.Join(m.Dir, "report.log"))
	require.NoError(t, err)
	require.Contains(t, string(log), "MESA-WARNING")

	got, err := readReport(filepath.Join(m.Dir, "report.json"))
	require.NoError(t, err)
	require.Len(t, got.Parts, 6)
	page, err := os.ReadFile(filepath.Join(m.Dir, "report.md"))
	require.NoError(t, err)
	require.Contains(t, string(page), "The report is not finished")
	require.Contains(t, string(page), "| checks dies | failed |")
}

// A part that hangs is killed; what it found stays.
func TestPartHangs(t *testing.T) {
	m := newTestMaker(t, 0.01)
	began := time.Now()
	parts := m.test(t, "hangs")
	require.Less(t, time.Since(began), 3*grace)
	require.Equal(t, Cut, parts[0].Status)
	require.Equal(t, 2, parts[0].Checks.Ran)
}

// Ctrl-C ends the part that runs, and the report has what was found.
func TestInterrupted(t *testing.T) {
	m := newTestMaker(t, 5)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	items := []item{machine{}.part(kindChecks, "hangs", "", 1, 0), machine{}.part(kindChecks, "fine", "", 1, 0)}
	require.NoError(t, m.all(ctx, items))
	require.Len(t, m.report.Parts, 1)
	require.FileExists(t, filepath.Join(m.Dir, "report.md"))
}

// Parts share the time by what they matter; what is left over goes to later ones.
func TestLimit(t *testing.T) {
	parts := []item{{share: 30, least: 2}, {share: 10, least: 2}, {share: 10, least: 8}}
	for _, row := range []struct {
		i    int
		left time.Duration
		want time.Duration
	}{
		{0, 100 * time.Second, 60 * time.Second},
		{1, 40 * time.Second, 20 * time.Second},
		{1, 100 * time.Second, 50 * time.Second},
		{2, 90 * time.Second, 90 * time.Second},
		{0, 3200 * time.Millisecond, 0},
		{0, 4 * time.Second, 2400 * time.Millisecond},
		{2, 7 * time.Second, 0},
	} {
		got, err := limit(parts, row.i, row.left)
		if row.want == 0 && row.i == 2 {
			require.ErrorIs(t, err, errNoTime)
			continue
		}
		if row.want == 0 { // less than it needs, and less than twice that is left
			require.ErrorIs(t, err, errNoTime)
			continue
		}
		require.NoError(t, err)
		require.InDelta(t, row.want.Seconds(), got.Seconds(), 0.01, "%+v", row)
	}
}

// A card is measured through both backends, a CPU through one; correctness comes first.
func TestPlan(t *testing.T) {
	names := func(m machine) (out []string) {
		for _, p := range m.plan() {
			out = append(out, p.name)
		}
		return out
	}
	card := names(machine{name: "card", main: "dawn", backends: []string{"dawn", "wgpu"}, torch: true})
	require.Equal(t, []string{"adapter dawn", "adapter wgpu", "checks dawn", "parity dawn f32"}, card[:4])
	for _, want := range []string{"step wgpu int8", "step dawn mixed", "tune dawn", "torch compiled", "torch tf32", "generate wgpu", "kernels dawn auto"} {
		require.Contains(t, card, want)
	}
	cpu := names(machine{name: "cpu", cpu: true, main: "wgpu", backends: []string{"wgpu", "dawn"}})
	require.Equal(t, "parity dawn int8", cpu[len(cpu)-1])
	require.NotContains(t, cpu, "step dawn f32")
	require.NotContains(t, cpu, "tune wgpu")
	require.NotContains(t, cpu, "torch f32")
	seen := map[string]bool{}
	for _, n := range card {
		require.False(t, seen[n], n)
		seen[n] = true
	}
}

// One report with everything that a page can show.
func wholeReport() *Report {
	step := func(precision string, batch int, rate float64) Step {
		return Step{Step: bench.Step{Experiment: "baseline", BatchSize: batch, SeqLen: 256, GradAccum: 2, TokensPerSec: rate, StepMS: 8192e3 / rate, GFlops: rate * 0.6, HostMS: 1, DeviceMemory: 3 << 30, FirstStepS: 4}, Precision: precision,
			Memory: []MemoryPart{{"activations", 2 << 30}}}
	}
	return &Report{Schema: Schema, Program: "v1", Command: []string{"bitnet", "bench", "report"}, Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Finished: time.Date(2026, 1, 2, 3, 11, 5, 0, time.UTC), Minutes: 8,
		Device: "A | card", Main: "dawn", System: System{OS: "linux", Arch: "amd64", Cores: 16, Memory: 64 << 30, Cards: []string{"A card, 550, 12288 MiB"}},
		Parts: []Part{
			{Name: "adapter dawn", Kind: kindAdapter, Backend: "dawn", Status: Done, Result: Result{Adapter: &gpu.Adapter{Backend: "dawn"}}},
			{Name: "checks dawn", Kind: kindChecks, Backend: "dawn", Status: Done, Result: Result{Checks: &Checks{Of: 90, Ran: 90, Worst: 0.5, Families: []string{"a", "b"}}}},
			{Name: "parity dawn mixed", Kind: kindParity, Backend: "dawn", Precision: "mixed", Status: Done, Result: Result{Parity: &Parity{Steps: paritySteps, Early: 1e-5, Worst: 1e-4}}},
			{Name: "peak dawn", Kind: kindPeak, Backend: "dawn", Status: Done, Result: Result{Peak: &bench.Peak{Rates: []tune.Rate{{Name: tune.PeakFloat, Unit: "GFLOP/s", Median: 12000}, {Name: tune.PeakDispatch, Unit: "us", Median: 5}}}}},
			{Name: "tune dawn", Kind: kindTune, Backend: "dawn", Status: Done, Result: Result{Tuning: tune.Tuning{"matmul": {Variant: "fast", Default: "usual", Seconds: 1, DefaultSeconds: 2}}}},
			{Name: "step dawn f32", Kind: kindStep, Backend: "dawn", Precision: "f32", Status: Done, Result: Result{Steps: []Step{step("f32", 16, 10000)}}},
			{Name: "step dawn mixed", Kind: kindStep, Backend: "dawn", Precision: "mixed", Status: Done, Says: "batches of 64: out of memory", Result: Result{Steps: []Step{step("mixed", 16, 20000), step("mixed", 32, 24000)}}},
			{Name: "kernels dawn auto", Kind: kindKernels, Backend: "dawn", Precision: "auto", Status: Done, Result: Result{Kernels: &bench.Kernels{Experiment: "baseline", BatchSize: 16, SeqLen: 256, GradAccum: 2,
				Kernels: []bench.KernelShare{{KernelCost: tune.KernelCost{Op: "head", Kernel: "matmul", Family: "matmul/product", Calls: 2, Flops: 1e9, Bytes: 1e6, Seconds: 1e-3}, Limit: "arithmetic", Share: 0.6}}}}},
			{Name: "torch bf16", Kind: kindTorch, Precision: "bf16", Status: Done, Result: Result{Torch: &Torch{Version: "2.6", Device: "A card", Mode: "bf16", Experiment: "baseline", BatchSize: 16, SeqLen: 256, GradAccum: 2, TokensPerSec: 16000, StepMS: 500}}},
			{Name: "generate dawn", Kind: kindGenerate, Backend: "dawn", Status: Done, Result: Result{Generate: &bench.Generate{Model: "baseline", PromptTokens: 128, NewTokens: 64, Runs: []bench.GenerateRun{{Batch: 1, PromptPerSec: 5000, TokensPerSec: 300, StepMS: 3}}}}},
			{Name: "step wgpu f32", Kind: kindStep, Backend: "wgpu", Precision: "f32", Status: Failed, Says: "the graphics device was lost"},
		}}
}

func TestMarkdown(t *testing.T) {
	page := markdown(wholeReport(), []bench.Ratio{{Figure: bench.Figure{Name: "it", Unit: "ms", Value: 2}, Before: 1, Times: 0.5}})
	for _, want := range []string{
		`| Adapter | A \| card |`, "7.0 of 8.0 minutes", "The kernels compute right: 91 checks", "up to 24,000 tokens/s (baseline 32x256x2, mixed, through dawn)",
		"| dawn | mixed | baseline 16x256x2 | 20,000 |", "120%", // of the float32 peak, on matrix units
		"| bfloat16 | 2.6 | A card | baseline 16x256x2 | 16,000 | 500 | 0.62 | 1.25 |", "| matmul | fast | usual |", "2.00x",
		"| activations | 2048.0 |", "| 1 | 5,000 | 300 |", "| step wgpu f32 | failed | the graphics device was lost |", "| it | ms | 1 | 2 | 0.50 |", "1 part failed",
	} {
		require.Contains(t, page, want)
	}
	require.NotContains(t, page, "not finished")
	require.NotContains(t, page, "NaN")

	r := wholeReport()
	r.Parts[1].Checks.Faults = []graph.Checked{{Name: "norm", Fault: "y[0] = 1, want 2"}}
	page = markdown(r, nil)
	require.Contains(t, page, "Some results are wrong")
	require.Contains(t, page, "**wrong**, dawn: norm: y[0] = 1, want 2")
	right, _ := r.Right()
	require.False(t, right)
	r = wholeReport()
	r.Parts[2].Parity.Worst = 0.1
	right, _ = r.Right()
	require.False(t, right)
	require.Contains(t, markdown(r, nil), "| **no** |")
	require.Contains(t, markdown(&Report{Device: "none"}, nil), "Nothing could be checked")

	// Where the time was too short for a training run, none is said to agree.
	r = wholeReport()
	r.Parts = slices.DeleteFunc(r.Parts, func(p Part) bool { return p.Parity != nil })
	page = markdown(r, nil)
	require.Contains(t, page, "90 checks agree with float64. No training run was compared.\n")
	require.Contains(t, page, "\nNo training run was compared.\n")
	require.NotContains(t, page, "training runs agree")
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.01234: "0.0123", 12.34: "12.3", 100: "100", 1234: "1,234", 1234567: "1,234,567", math.NaN(): "0"} {
		require.Equal(t, want, number(v))
	}
}

// What is read is what was written, and anything else is refused in one line.
func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	text, err := bench.JSON(wholeReport())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, text, 0o600))
	got, err := readReport(path)
	require.NoError(t, err)
	require.Equal(t, wholeReport().Figures(), got.Figures())
	earlier, err := bench.ReadEarlier(path, "report")
	require.NoError(t, err)
	ratios, err := earlier.Compare(got)
	require.NoError(t, err)
	require.Len(t, ratios, len(got.Figures()))
	for name, row := range map[string][2]string{
		"another benchmark": {strings.Replace(string(text), `"bench":"report"`, `"bench":"peak"`, 1), "not the report.json"},
		"a later version":   {strings.Replace(string(text), `"schema":1`, `"schema":99`, 1), "version 99"},
		"damaged":           {string(text[:100]), "not valid JSON"},
		"empty":             {"{}", "not the report.json"},
	} {
		require.NoError(t, os.WriteFile(path, []byte(row[0]), 0o600))
		_, err := readReport(path)
		require.ErrorContains(t, err, row[1], name)
	}
}

// serve runs a part in this process.
func serve(t *testing.T, req request) (last Result, end message) {
	t.Helper()
	text, err := json.Marshal(req)
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, Serve(t.Context(), bytes.NewReader(text), &out))
	for d := json.NewDecoder(&out); ; {
		var m message
		err := d.Decode(&m)
		if err == io.EOF {
			return last, end
		}
		require.NoError(t, err)
		if m.Result != nil {
			last = *m.Result
		}
		end = m
	}
}

// The parts that say whether an adapter computes right, on a real one.
func TestServe(t *testing.T) {
	all, err := gpu.AdaptersOf("wgpu")
	if err != nil || len(all) == 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("no adapter: run gpu/install-vulkan.sh")
		}
		t.Skip("no adapter: run gpu/install-vulkan.sh")
	}
	req := request{Kind: kindAdapter, Backend: "wgpu", Device: all[0].Name, Seconds: 600}
	got, end := serve(t, req)
	require.Equal(t, message{Done: true}, end)
	require.Equal(t, all[0].Name, got.Adapter.Name)

	req.Kind, req.Precision = kindParity, "f32"
	got, end = serve(t, req)
	require.Equal(t, message{Done: true}, end)
	require.Equal(t, paritySteps, got.Parity.Steps)
	require.True(t, got.Parity.Agrees(), "%+v", got.Parity)
	require.Positive(t, got.Parity.Worst)

	dev, err := all[0].Open()
	require.NoError(t, err)
	defer dev.Close()
	w := &worker{request: req, ctx: t.Context()}
	one, err := w.generation(dev)
	require.NoError(t, err)
	require.Empty(t, one.Fault)
	require.Positive(t, one.Share)
	require.Contains(t, strings.Join(one.Families, " "), "attention/cached")

	req.Device = "no such card"
	_, end = serve(t, req)
	require.Contains(t, end.Error, "does not list no such card any more")
	require.ErrorContains(t, Serve(t.Context(), strings.NewReader("nonsense"), io.Discard), "bitnet bench report")
}

// What a panic says is the part's error.
func TestServePanics(t *testing.T) {
	w := &worker{request: request{Kind: kindTorch}, ctx: t.Context()} // without a target
	require.ErrorContains(t, w.guarded(), "panic")
}

func TestLastWords(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "one\ntwo\n": ": two", "panic: boom\n\ngoroutine 1\n\t/x.go:1\n": ": panic: boom",
		strings.Repeat("x", 3*wordsKept) + "\nend": ": end",
	} {
		var w lastWords
		_, err := io.Copy(&w, strings.NewReader(text))
		require.NoError(t, err)
		require.Equal(t, want, w.String())
	}
}
