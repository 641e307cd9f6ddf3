package report

import (
	"fmt"
	"time"

	"bitnet/bitnet/bench"
	"bitnet/gpu"
	"bitnet/graph"
	"bitnet/graph/tune"
)

// Schema is the version of Report's JSON form. It grows when a field changes its
// meaning; new fields leave it.
const Schema = 1

// Report is what was found out about one card.
type Report struct {
	Schema   int       `json:"schema"`
	Program  string    `json:"program"` // version, commit, platform
	Command  []string  `json:"command"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	Minutes  float64   `json:"minutes"` // that were asked for
	Remark   string    `json:"remark,omitempty"`
	System   System    `json:"system"`
	Device   string    `json:"device"`
	Main     string    `json:"main_backend"` // what training would use
	Parts    []Part    `json:"parts"`
}

// System is the machine around the card.
type System struct {
	OS     string   `json:"os"`
	Arch   string   `json:"arch"`
	CPU    string   `json:"cpu,omitempty"`
	Cores  int      `json:"cores"`
	Memory int64    `json:"memory_bytes,omitempty"`
	Load   float64  `json:"load"`            // average of the minute before
	Cards  []string `json:"cards,omitempty"` // what nvidia-smi says: name, driver, memory, power limit, clock
}

// Busy reports whether other work ran when the report began, so that its figures
// are lower bounds.
func (s System) Busy() bool { return s.Load > 0.5*float64(s.Cores) }

// Status is how a part ended.
type Status string

const (
	Done    Status = "done"
	Cut     Status = "cut"     // out of time: Result holds what there was
	Failed  Status = "failed"  // Says has the error
	Skipped Status = "skipped" // Says has the reason
)

// Part is one measurement, made in a process of its own.
type Part struct {
	Name      string  `json:"name"`
	Kind      Kind    `json:"kind"`
	Backend   string  `json:"backend,omitempty"`
	Precision string  `json:"precision,omitempty"`
	Status    Status  `json:"status"`
	Says      string  `json:"says,omitempty"` // an error, a reason, or what was made smaller
	Seconds   float64 `json:"seconds"`
	Limit     float64 `json:"limit_seconds"`
	Result
}

// Kind is what a part measures.
type Kind string

// Kinds in the order of what matters if time runs out.
const (
	kindAdapter  Kind = "adapter"
	kindChecks   Kind = "checks"
	kindParity   Kind = "parity"
	kindPeak     Kind = "peak"
	kindTune     Kind = "tune"
	kindStep     Kind = "step"
	kindKernels  Kind = "kernels"
	kindTorch    Kind = "torch"
	kindGenerate Kind = "generate"
)

// Result is what a part found: the field of its kind.
type Result struct {
	Adapter  *gpu.Adapter    `json:"adapter,omitempty"`
	Checks   *Checks         `json:"checks,omitempty"`
	Parity   *Parity         `json:"parity,omitempty"`
	Peak     *bench.Peak     `json:"peak,omitempty"`
	Tuning   tune.Tuning     `json:"tuning,omitempty"`
	Steps    []Step          `json:"steps,omitempty"`
	Kernels  *bench.Kernels  `json:"kernels,omitempty"`
	Torch    *Torch          `json:"torch,omitempty"`
	Generate *bench.Generate `json:"generate,omitempty"`
}

// Checks are kernels against float64.
type Checks struct {
	Of       int             `json:"of"` // checks there are
	Ran      int             `json:"ran"`
	Worst    float64         `json:"worst"` // largest difference, of the one that rounding explains
	Families []string        `json:"families"`
	Faults   []graph.Checked `json:"faults,omitempty"`
	Units    []UnitFault     `json:"units,omitempty"` // matrix units or packed dot products that are wrong
}

// UnitFault is a feature of the adapter that computes something else than plain
// float32 does. Training leaves it out, and so do the parts that measure speed.
type UnitFault struct {
	Feature string `json:"feature"`
	What    string `json:"what"`
}

// Wrong is how many checks failed.
func (c *Checks) Wrong() int { return len(c.Faults) + len(c.Units) }

// Parity is a short training run against PyTorch's losses.
type Parity struct {
	Steps  int       `json:"steps"`
	Losses []float64 `json:"losses"`
	Early  float64   `json:"early"` // largest relative difference of the first ten steps
	Worst  float64   `json:"worst"` // and of all
}

// What a run may differ from PyTorch: each rounds in its own order, and a weight
// near the border of two codes may fall on either side.
const (
	paritySteps = 40
	earlyBound  = 2e-4
	worstBound  = 1e-3
)

// Agrees reports whether the differences are what rounding explains.
func (p *Parity) Agrees() bool { return p.Steps > 0 && p.Early <= earlyBound && p.Worst <= worstBound }

// Step is a training step of one shape.
type Step struct {
	bench.Step
	Precision string       `json:"precision"` // of the gradients
	Memory    []MemoryPart `json:"memory,omitempty"`
}

// Shape is experiment and tokens of the step.
func (s Step) Shape() string { return shape(s.Experiment, s.BatchSize, s.SeqLen, s.GradAccum) }

func shape(exp string, batch, seq, accum int) string {
	return fmt.Sprintf("%s %dx%dx%d", exp, batch, seq, accum)
}

// MemoryPart is a share of a step's memory.
type MemoryPart struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
}

// Torch is a training step in PyTorch.
type Torch struct {
	Version      string  `json:"version"`
	Device       string  `json:"device"`
	Mode         string  `json:"mode"` // f32, tf32, bf16, compiled
	Experiment   string  `json:"experiment"`
	BatchSize    int     `json:"batch_size"`
	SeqLen       int     `json:"seq_len"`
	GradAccum    int     `json:"grad_accum"`
	TokensPerSec float64 `json:"tokens_per_sec"`
	StepMS       float64 `json:"step_ms"`
	MemoryMiB    float64 `json:"memory_mib,omitempty"`
}

// Shape is experiment and tokens of the step.
func (t *Torch) Shape() string { return shape(t.Experiment, t.BatchSize, t.SeqLen, t.GradAccum) }

// Kind is what bench.ReadEarlier calls a report.
func (*Report) Kind() string { return "report" }

// LeftOut is empty: each part of a report says itself what it left out.
func (*Report) LeftOut() string { return "" }

// Figures are the numbers that two reports can be compared by.
func (r *Report) Figures() []bench.Figure {
	var out []bench.Figure
	add := func(p Part, name, unit string, value float64, lower bool) {
		if value > 0 {
			out = append(out, bench.Figure{Name: p.Backend + ": " + name, Unit: unit, Value: value, Lower: lower})
		}
	}
	for _, p := range r.Parts {
		if p.Peak != nil {
			for _, x := range p.Peak.Rates {
				add(p, x.Name, x.Unit, x.Median, x.Unit == "us")
			}
		}
		for _, s := range p.Steps {
			name := s.Shape() + " in " + s.Precision
			add(p, name, "tokens/s", s.TokensPerSec, false)
			add(p, name+", memory", "MiB", float64(s.DeviceMemory)/(1<<20), true)
			add(p, name+", host", "ms", s.HostMS, true)
		}
		if k := p.Kernels; k != nil && p.Status == Done {
			add(p, "all kernels of "+shape(k.Experiment, k.BatchSize, k.SeqLen, k.GradAccum)+" in "+p.Precision, "ms", 1e3*k.StepSeconds(), true)
		}
		if p.Generate != nil {
			for _, f := range p.Generate.Figures() {
				add(p, f.Name+" ("+p.Generate.Model+")", f.Unit, f.Value, false)
			}
		}
		if t := p.Torch; t != nil {
			add(Part{Backend: "PyTorch"}, t.Shape()+" in "+t.Mode, "tokens/s", t.TokensPerSec, false)
		}
	}
	return out
}

// Right reports whether nothing that was checked is wrong; Checked is how many
// checks and runs that is.
func (r *Report) Right() (right bool, checked int) {
	right = true
	for _, p := range r.Parts {
		if p.Checks != nil {
			checked += p.Checks.Ran
			right = right && p.Checks.Wrong() == 0
		}
		if p.Parity != nil && p.Parity.Steps > 0 {
			checked++
			right = right && p.Parity.Agrees()
		}
	}
	return right, checked
}
