package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"bitnet/bitnet/bench"
	"bitnet/data/disk"
	"bitnet/data/printable"
	"bitnet/graph/tune"
)

// page is report.md as it is written.
type page struct {
	*Report
	strings.Builder
}

// markdown is the report as a page for a reader who knows neither the card nor
// this program. ratios compare it with an earlier one; there may be none.
func markdown(r *Report, ratios []bench.Ratio) string {
	p := &page{Report: r}
	p.head()
	p.inShort()
	p.adapters()
	p.right()
	p.peaks()
	p.speed()
	p.kernels()
	p.tuning()
	p.memory()
	p.generation()
	p.compared(ratios)
	p.missing()
	p.foot()
	return p.String()
}

func (p *page) f(format string, values ...any) { fmt.Fprintf(p, format, values...) }

// table writes a table, unless it has no rows.
func (p *page) table(head string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	cols := strings.Split(head, " | ")
	p.f("\n| %s |\n|%s\n", head, strings.Repeat("---|", len(cols)))
	for _, row := range rows {
		for i, cell := range row {
			row[i] = strings.ReplaceAll(printable.String(cell), "|", `\|`)
		}
		p.f("| %s |\n", strings.Join(row, " | "))
	}
}

func (p *page) head() {
	p.f("# bitnet on %s\n\n", printable.String(p.Device))
	p.f("What one graphics adapter can do with bitnet, a program that trains language models\nwith ternary weights (BitNet b1.58) by WGSL compute shaders.\n")
	rows := [][]string{
		{"Adapter", p.Device},
		{"Program", "bitnet " + p.Program},
		{"Command", "`" + strings.Join(p.Command, " ") + "`"},
		{"Date", p.Started.Format("2006-01-02 15:04 UTC")},
		{"System", fmt.Sprintf("%s/%s, %s, %d cores, %s", p.System.OS, p.System.Arch, cmp.Or(p.System.CPU, "unknown CPU"), p.System.Cores, disk.Size(p.System.Memory))},
		{"Load before", fmt.Sprintf("%.1f", p.System.Load)},
	}
	if !p.Finished.IsZero() {
		rows = append(rows, []string{"Took", fmt.Sprintf("%.1f of %.1f minutes", p.Finished.Sub(p.Started).Minutes(), p.Minutes)})
	}
	for _, c := range p.System.Cards {
		rows = append(rows, []string{"nvidia-smi", c})
	}
	p.table("what | value", rows)
	if p.Remark != "" {
		p.f("\n**%s**\n", printable.String(p.Remark))
	}
	if p.System.Busy() {
		p.f("\n**Other work ran on this machine: speeds are lower bounds.**\n")
	}
	if p.Finished.IsZero() {
		p.f("\n**The report is not finished: this is what was found so far.**\n")
	}
}

func (p *page) inShort() {
	p.f("\n## In short\n\n")
	right, checked := p.Right()
	switch {
	case checked == 0:
		p.f("- Nothing could be checked.\n")
	case right && p.anyParity():
		p.f("- The kernels compute right: %d checks and training runs agree with float64 and with PyTorch.\n", checked)
	case right:
		p.f("- The kernels that were checked compute right: %d checks agree with float64. No training run was compared.\n", checked)
	default:
		p.f("- **Some results are wrong. Do not train on this adapter until they are explained:** see below.\n")
	}
	if s, backend := p.fastest(); s != nil {
		p.f("- Training reaches up to %s tokens/s (%s, %s, through %s).\n", number(s.TokensPerSec), s.Shape(), s.Precision, backend)
		if best := p.torchAt(s.Step); best != nil {
			p.f("- PyTorch reaches %s tokens/s at best on the same step (%s).\n", number(best.TokensPerSec), torchNames[best.Mode])
		}
	}
	if n := p.count(Failed); n > 0 {
		p.f("- %s failed; see [what is missing](#what-is-missing).\n", plural(n, "part"))
	}
	if n := p.count(Skipped) + p.count(Cut); n > 0 {
		p.f("- %s had no time or nothing to measure; see [what is missing](#what-is-missing).\n", plural(n, "part"))
	}
}

func (p *page) count(s Status) (n int) {
	for _, x := range p.Parts {
		if x.Status == s {
			n++
		}
	}
	return n
}

// fastest is the step with the most tokens/s of the largest experiment that was measured.
func (r *Report) fastest() (best *Step, backend string) {
	rank := func(exp string) int {
		return slices.IndexFunc(candidates, func(c candidate) bool { return c.exp == exp })
	}
	for _, p := range r.Parts {
		for i := range p.Steps {
			s := &p.Steps[i]
			if best == nil || rank(s.Experiment) < rank(best.Experiment) || rank(s.Experiment) == rank(best.Experiment) && s.TokensPerSec > best.TokensPerSec {
				best, backend = s, p.Backend
			}
		}
	}
	return best, backend
}

// torchAt is the fastest of PyTorch's steps of a shape.
func (r *Report) torchAt(s bench.Step) (best *Torch) {
	for _, p := range r.Parts {
		if t := p.Torch; t != nil && t.Experiment == s.Experiment && t.BatchSize == s.BatchSize && t.SeqLen == s.SeqLen && t.GradAccum == s.GradAccum {
			if best == nil || t.TokensPerSec > best.TokensPerSec {
				best = t
			}
		}
	}
	return best
}

func (p *page) adapters() {
	p.f("\n## The adapter\n\nA backend is a library through which bitnet reaches the adapter. Training uses `%s` here.\n", p.Main)
	var rows [][]string
	for _, x := range p.Parts {
		a := x.Adapter
		if a == nil {
			continue
		}
		l := a.Limits
		subgroups := "not reported"
		if a.SubgroupMax > 0 {
			subgroups = fmt.Sprintf("%d to %d", a.SubgroupMin, a.SubgroupMax)
		}
		var units []string
		for _, m := range a.Matrices {
			units = append(units, fmt.Sprintf("%dx%dx%d %s to %s", m.M, m.N, m.K, m.Component, m.Result))
		}
		rows = append(rows, []string{x.Backend, fmt.Sprintf("%s, %s", a.Kind, a.API), a.Driver,
			fmt.Sprintf("%d MiB, %d MiB", l.BufferSize>>20, l.BindingSize>>20), fmt.Sprint(l.StorageBindings), fmt.Sprintf("%d KiB", l.WorkgroupMemory>>10), fmt.Sprint(l.WorkgroupInvocations),
			subgroups, cmp.Or(strings.Join(units, ", "), "none"), cmp.Or(strings.Join(a.Features, ", "), "none")})
	}
	p.table("backend | kind | driver | largest buffer, binding | bindings | workgroup memory | invocations | subgroup | matrix units | features", rows)
}

func (p *page) right() {
	p.f("\n## Does it compute right?\n\nEvery family of kernels, in its default form and on a GPU in all forms, against float64. \"Worst\" is the\nlargest difference, as a share of what rounding explains: above 1 is wrong.\n")
	var rows [][]string
	for _, x := range p.Parts {
		if c := x.Checks; c != nil {
			rows = append(rows, []string{x.Backend, fmt.Sprintf("%d of %d", c.Ran, c.Of), fmt.Sprint(c.Wrong()), fmt.Sprintf("%.2f", c.Worst), fmt.Sprint(len(c.Families))})
		}
	}
	p.table("backend | checks | wrong | worst | families of kernels", rows)
	for _, x := range p.Parts {
		if x.Checks == nil {
			continue
		}
		for _, f := range x.Checks.Faults {
			p.f("\n- **wrong**, %s: %s: %s", x.Backend, printable.String(f.Name), printable.String(f.Fault))
		}
		for _, f := range x.Checks.Units {
			p.f("\n- **wrong**, %s: %s", x.Backend, printable.String(f.Feature+": "+f.What))
		}
	}
	p.f("\n%d training steps of a small model, from the same weights over the same tokens as PyTorch in float32, whose\nlosses the program brings along. Differences of the loss are relative; rounding explains %.0e in the first ten\nsteps and %.0e later.\n", paritySteps, earlyBound, worstBound)
	rows = nil
	for _, x := range p.Parts {
		if y := x.Parity; y != nil {
			agrees := "yes"
			switch {
			case y.Steps > 0 && !y.Agrees():
				agrees = "**no**"
			case y.Steps < paritySteps:
				agrees = "so far"
			}
			rows = append(rows, []string{x.Backend, x.Precision, fmt.Sprint(y.Steps), fmt.Sprintf("%.1e", y.Early), fmt.Sprintf("%.1e", y.Worst), agrees})
		}
	}
	if rows == nil {
		p.f("\nNo training run was compared.\n")
		return
	}
	p.table("backend | gradients in | steps | first ten | all | agrees", rows)
}

// anyParity reports whether a training run was compared with PyTorch's.
func (p *page) anyParity() bool {
	return slices.ContainsFunc(p.Parts, func(x Part) bool { return x.Parity != nil && x.Parity.Steps > 0 })
}

func (p *page) peaks() {
	p.f("\n## What the adapter can do\n\nMeasured with small kernels of bitnet's own: medians.\n")
	var backends, names []string
	units, values := map[string]string{}, map[string]string{}
	for _, x := range p.Parts {
		if x.Peak == nil {
			continue
		}
		backends = append(backends, x.Backend)
		for _, r := range x.Peak.Rates {
			if !slices.Contains(names, r.Name) {
				names = append(names, r.Name)
			}
			units[r.Name] = r.Unit
			if r.Median > 0 {
				values[r.Name+"\n"+x.Backend] = number(r.Median)
			}
		}
	}
	var rows [][]string
	for _, n := range names {
		row := []string{n, units[n]}
		for _, b := range backends {
			row = append(row, cmp.Or(values[n+"\n"+b], "-"))
		}
		rows = append(rows, row)
	}
	p.table("what | unit | "+strings.Join(backends, " | "), rows)
}

var torchNames = map[string]string{"f32": "float32", "tf32": "TF32", "bf16": "bfloat16", "compiled": "compiled, bfloat16"}

func (p *page) speed() {
	p.f("\n## Training\n\nWhole steps on random tokens: medians. A shape is sequences x tokens x micro-batches; `baseline` has 95M\nparameters. \"Of peak\" compares with the arithmetic in float32 above (matrix units can exceed it). \"Host\" is the\nshare of a step that the CPU needs to hand it over.\n")
	var rows [][]string
	for _, x := range p.Parts {
		for _, s := range x.Steps {
			ofPeak := "-"
			if peak := p.peakOf(x.Backend); peak > 0 {
				ofPeak = percent(s.GFlops / peak)
			}
			rows = append(rows, []string{x.Backend, s.Precision, s.Shape(), number(s.TokensPerSec), number(s.StepMS), number(s.GFlops), ofPeak,
				percent(s.HostMS / s.StepMS), fmt.Sprintf("%d MiB", s.DeviceMemory>>20), fmt.Sprintf("%.1f s", s.FirstStepS)})
		}
	}
	p.table("backend | gradients in | shape | tokens/s | ms per step | GFLOP/s | of peak | host | memory | first step, with compiling", rows)
	if len(rows) == 0 {
		p.f("\nNo step was measured.\n")
	}

	rows = nil
	for _, x := range p.Parts {
		t := x.Torch
		if t == nil {
			continue
		}
		row := []string{torchNames[t.Mode], t.Version, t.Device, t.Shape(), number(t.TokensPerSec), number(t.StepMS), "-", "-"}
		for _, y := range p.Parts {
			for _, s := range y.Steps {
				if s.Shape() == t.Shape() && s.TokensPerSec > 0 {
					at := 6
					if s.Precision != "f32" {
						at = 7
					}
					old, _ := parseRatio(row[at])
					row[at] = fmt.Sprintf("%.2f", max(old, s.TokensPerSec/t.TokensPerSec))
				}
			}
		}
		rows = append(rows, row)
	}
	if len(rows) > 0 {
		p.f("\n### Against PyTorch\n\nThe PyTorch trainer's architecture (dcgrigsby/bitnet), on the same card in the same minutes. The last two columns\nsay how many times as fast bitnet is.\n")
	}
	p.table("PyTorch in | version | device | shape | tokens/s | ms per step | bitnet in f32 | bitnet in fewer bits", rows)
}

func parseRatio(s string) (v float64, err error) {
	_, err = fmt.Sscanf(s, "%f", &v)
	return v, err
}

// peakOf is the measured arithmetic of a backend in float32, in GFLOP/s.
func (r *Report) peakOf(backend string) float64 {
	for _, p := range r.Parts {
		if p.Peak == nil || p.Backend != backend {
			continue
		}
		for _, x := range p.Peak.Rates {
			if x.Name == tune.PeakFloat {
				return x.Median
			}
		}
	}
	return 0
}

// listed is how many kernels the page lists; report.json has all.
const listed = 15

func (p *page) kernels() {
	for _, x := range p.Parts {
		k := x.Kernels
		if k == nil || len(k.Kernels) == 0 {
			continue
		}
		all := slices.Clone(k.Kernels)
		slices.SortStableFunc(all, func(a, b bench.KernelShare) int {
			return cmp.Compare(float64(b.Calls)*b.Seconds, float64(a.Calls)*a.Seconds)
		})
		p.f("\n## Kernels of a step through %s\n\n%s, gradients in %s, each kernel by itself: %.1f ms in all. The share is that of the measured rate that\nbounds the kernel; cached data moves faster than that.\n", x.Backend, shape(k.Experiment, k.BatchSize, k.SeqLen, k.GradAccum), x.Precision, 1e3*k.StepSeconds())
		var rows [][]string
		for _, y := range all[:min(listed, len(all))] {
			rows = append(rows, []string{percent(float64(y.Calls) * y.Seconds / k.StepSeconds()), fmt.Sprint(y.Calls), fmt.Sprintf("%.3f", 1e3*y.Seconds), number(y.Flops / y.Seconds / 1e9), number(float64(y.Bytes) / y.Seconds / 1e9),
				percent(y.Share), y.Limit, y.Op + ": " + y.Kernel, strings.TrimSuffix(y.Family+", "+y.Variant, ", ")})
		}
		p.table("of the time | calls | ms per call | GFLOP/s | GB/s | share | of | operation: kernel | file, variant", rows)
		if n := len(all) - listed; n > 0 {
			p.f("\n%d more kernels are in report.json.\n", n)
		}
	}
}

func (p *page) tuning() {
	for _, x := range p.Parts {
		if len(x.Tuning) == 0 {
			continue
		}
		p.f("\n## Variants that the tuner chose through %s\n", x.Backend)
		var keys []string
		for k := range x.Tuning {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		var rows [][]string
		for _, k := range keys {
			c := x.Tuning[k]
			rows = append(rows, []string{k, c.Variant, c.Default, fmt.Sprintf("%.3f", 1e3*c.Seconds), fmt.Sprintf("%.2fx", c.Gain())})
		}
		p.table("product | chosen | default | ms per call | gain", rows)
	}
}

func (p *page) memory() {
	s, backend := p.fastest()
	if s == nil {
		return
	}
	p.f("\n## Memory\n\n%s through %s holds %d MiB on the device:\n", s.Shape(), backend, s.DeviceMemory>>20)
	var rows [][]string
	for _, m := range s.Memory {
		rows = append(rows, []string{m.Name, fmt.Sprintf("%.1f", float64(m.Bytes)/(1<<20))})
	}
	p.table("what | MiB", rows)
}

func (p *page) generation() {
	for _, x := range p.Parts {
		g := x.Generate
		if g == nil {
			continue
		}
		p.f("\n## Generation through %s\n\n%s: prompts of %d tokens and %d new ones for each of several sequences at once. The share is that of the\nmeasured bandwidth (%.0f GB/s).\n", x.Backend, g.Model, g.PromptTokens, g.NewTokens, g.Bandwidth.Median)
		var rows [][]string
		for _, r := range g.Runs {
			rows = append(rows, []string{fmt.Sprint(r.Batch), number(r.PromptPerSec), number(r.TokensPerSec), fmt.Sprintf("%.2f", r.StepMS), fmt.Sprintf("%.1f", r.BytesPerToken/(1<<20)), percent(r.ShareOfMeasured)})
		}
		p.table("sequences | prompt, tokens/s | new tokens/s | ms per token of each | MiB per token | of the bandwidth", rows)
	}
}

func (p *page) compared(ratios []bench.Ratio) {
	if len(ratios) == 0 {
		return
	}
	p.f("\n## Compared with the earlier report\n")
	var rows [][]string
	for _, r := range ratios {
		rows = append(rows, []string{r.Name, r.Unit, number(r.Before), number(r.Value), fmt.Sprintf("%.2f", r.Times)})
	}
	p.table("what | unit | before | now | times as good", rows)
}

func (p *page) missing() {
	var rows [][]string
	for _, x := range p.Parts {
		if x.Status == Done && x.Says == "" {
			continue
		}
		rows = append(rows, []string{x.Name, string(x.Status), cmp.Or(x.Says, "out of time: what was measured is above"), fmt.Sprintf("%.0f of %.0f s", x.Seconds, x.Limit)})
	}
	p.f("\n## What is missing\n")
	if len(rows) == 0 {
		p.f("\nNothing.\n")
	}
	p.table("part | ended | why, or what was made smaller | time", rows)
}

func (p *page) foot() {
	p.f("\n## Files\n\n`report.json` holds every figure; compare a later report with `bitnet bench report --compare report.json`.\n`report.log` holds what drivers wrote. To have this adapter in the table of docs/performance.md, send `report.json`.\n")
}

// Line is how a part ended, for the terminal.
func (p Part) Line() string {
	say := p.Says
	switch {
	case p.Checks != nil:
		say = fmt.Sprintf("%d of %d checks, %d wrong; %s", p.Checks.Ran, p.Checks.Of, p.Checks.Wrong(), say)
	case p.Parity != nil && (p.Parity.Agrees() || p.Parity.Steps == 0):
		say = fmt.Sprintf("%d steps agree with PyTorch within %.1e; %s", p.Parity.Steps, p.Parity.Worst, say)
	case p.Parity != nil:
		say = fmt.Sprintf("DIFFERS from PyTorch by %.1e after %d steps; %s", p.Parity.Worst, p.Parity.Steps, say)
	case len(p.Steps) > 0:
		s := slices.MaxFunc(p.Steps, func(a, b Step) int { return cmp.Compare(a.TokensPerSec, b.TokensPerSec) })
		say = fmt.Sprintf("%s: %s tokens/s; %s", s.Shape(), number(s.TokensPerSec), say)
	case p.Torch != nil:
		say = fmt.Sprintf("%s: %s tokens/s; %s", p.Torch.Shape(), number(p.Torch.TokensPerSec), say)
	}
	return strings.TrimSuffix(fmt.Sprintf("%-22s %-7s %5.1f s  %s", p.Name, p.Status, p.Seconds, say), "; ")
}

// number has three digits or more, and commas between thousands.
func number(v float64) string {
	switch {
	case v == 0 || math.IsNaN(v):
		return "0"
	case math.Abs(v) < 100:
		return fmt.Sprintf("%.3g", v)
	}
	s := fmt.Sprintf("%.0f", v)
	for at := len(s) - 3; at > 0; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return s
}

func percent(v float64) string { return fmt.Sprintf("%.0f%%", 100*v) }

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
