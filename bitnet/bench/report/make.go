package report

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"bitnet/bitnet/bench"
	"bitnet/data/atomicfile"
	"bitnet/graph/tune"
)

// Options say what to report on.
type Options struct {
	Dir             string // for report.md, report.json, report.log and tunings
	Minutes         float64
	Backend, Device string // as in gpu.AdaptersOf and gpu.Choose
	Remark          string // what a reader has to know about the machine
	Program         string // version of this program
	Command         []string
	Earlier         *bench.Earlier // to compare with, or nil
	// Part starts the process of a part: this program, such that it calls Serve.
	Part []string
	Told func(string) // gets a line for each part that begins and ends
}

// Make measures all parts and writes the report into o.Dir, again after each
// part. If ctx ends, the report holds what was measured so far.
func Make(ctx context.Context, o Options) (*Report, error) {
	began := time.Now()
	m, err := find(o.Backend, o.Device)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the folder of the report: %w", err)
	}
	log, err := os.Create(filepath.Join(o.Dir, "report.log"))
	if err != nil {
		return nil, fmt.Errorf("writing the report: %w", err)
	}
	defer log.Close()
	python, why := findTorch(ctx, m.cpu)
	m.torch = python != ""
	r := &maker{Options: o, log: log, end: began.Add(time.Duration(o.Minutes * float64(time.Minute))), python: python, tunings: map[string]string{}, units: map[string]*Checks{},
		report: &Report{Schema: Schema, Program: o.Program, Command: o.Command, Started: began.UTC().Truncate(time.Second), Minutes: o.Minutes,
			Remark: o.Remark, System: readSystem(), Device: m.name, Main: m.main}}
	if err := r.all(ctx, m.plan()); err != nil {
		return nil, err
	}
	if !m.torch {
		r.add(Part{Name: "torch", Kind: kindTorch, Status: Skipped, Says: why})
	}
	if ctx.Err() == nil {
		r.report.Finished = time.Now().UTC().Truncate(time.Second)
	}
	if err := r.write(); err != nil {
		return nil, err
	}
	return r.report, ctx.Err()
}

// maker is a report that is being made.
type maker struct {
	Options
	log     *os.File
	end     time.Time
	python  string
	tunings map[string]string // files, by backend
	units   map[string]*Checks
	gflops  float64 // measured, in f32
	target  *target // the first step that was measured
	report  *Report
}

func (m *maker) all(ctx context.Context, parts []item) error {
	for i, p := range parts {
		if ctx.Err() != nil {
			return nil // the report keeps what there is
		}
		d, err := limit(parts, i, time.Until(m.end))
		if err != nil {
			m.add(Part{Name: p.name, Kind: p.Kind, Backend: p.Backend, Precision: p.Precision, Status: Skipped, Says: err.Error()})
			continue
		}
		m.add(m.measure(ctx, p, d))
		if err := m.write(); err != nil {
			return err
		}
	}
	return nil
}

// measure runs a part in its process.
func (m *maker) measure(ctx context.Context, p item, limit time.Duration) Part {
	req := p.request
	req.Seconds, req.GFlops, req.Python, req.Target = limit.Seconds(), m.gflops, m.python, m.target
	req.Tuning = m.tunings[p.Backend]
	if c := m.units[p.Backend]; c != nil {
		req.Checked = true
		for _, f := range c.Units {
			req.Without = append(req.Without, f.Feature)
		}
	}
	if p.Kind == kindTune {
		req.Tuning = filepath.Join(m.Dir, "tuning-"+p.Backend+".json")
	}
	part := Part{Name: p.name, Kind: p.Kind, Backend: p.Backend, Precision: p.Precision, Limit: limit.Seconds()}
	if p.Kind == kindTorch {
		part.Precision = p.Mode
		if m.target == nil || m.target.Experiment == "simple" { // which the script does not have
			part.Status, part.Says = Skipped, "no step was measured to compare PyTorch with"
			return part
		}
	}
	m.Told(fmt.Sprintf("%-22s at most %.0f s", p.name, limit.Seconds()))
	began := time.Now()
	err := m.run(ctx, req, limit, &part)
	part.Seconds = time.Since(began).Seconds()
	switch {
	case err == nil:
		part.Status = Done
	case errors.Is(err, errCut):
		part.Status = Cut
	default:
		part.Status, part.Says = Failed, err.Error()
	}
	m.learn(part, req)
	return part
}

// learn keeps what later parts need.
func (m *maker) learn(p Part, req request) {
	if p.Peak != nil {
		for _, r := range p.Peak.Rates {
			if r.Name == tune.PeakFloat && m.gflops == 0 {
				m.gflops = r.Median
			}
		}
	}
	if p.Checks != nil {
		m.units[p.Backend] = p.Checks
	}
	if len(p.Tuning) > 0 {
		m.tunings[p.Backend] = req.Tuning
	}
	if len(p.Steps) > 0 && m.target == nil {
		s := p.Steps[0]
		m.target = &target{s.Experiment, s.BatchSize, s.SeqLen, s.GradAccum}
	}
}

func (m *maker) add(p Part) {
	m.report.Parts = append(m.report.Parts, p)
	m.Told(p.Line())
}

// write writes the report as it stands.
func (m *maker) write() error {
	text, err := bench.JSON(m.report)
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if err := atomicfile.Write(filepath.Join(m.Dir, "report.json"), text); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	var ratios []bench.Ratio
	if m.Earlier != nil {
		ratios, _ = m.Earlier.Compare(m.report) // until the first figure there is nothing in common
	}
	if err := atomicfile.Write(filepath.Join(m.Dir, "report.md"), []byte(markdown(m.report, ratios))); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}
