package report

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/model"
	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/runs"
	"bitnet/bitnet/train"
	"bitnet/gpu"
	"bitnet/graph"
	"bitnet/graph/tune"
	"bitnet/testdata"
)

// checks compares every family of kernels with float64: first matrix units and
// packed dot products with plain float32, then the operations of training, then
// generation.
func (w *worker) checks(a gpu.Adapter) error {
	dev, err := a.Open()
	if err != nil {
		return err
	}
	defer dev.Close()
	all := graph.Checks(a)
	c := &Checks{Of: len(all) + 1}
	if a.Kind != gpu.CPU { // where the large products take minutes
		faults, err := tune.CheckUnits(dev)
		if err != nil {
			return err
		}
		for _, f := range faults {
			c.Units = append(c.Units, UnitFault(f))
		}
	}
	families := map[string]bool{}
	keep := func(one graph.Checked) error {
		c.Ran++
		c.Worst = max(c.Worst, one.Share)
		for _, f := range one.Families {
			families[f] = true
		}
		c.Families = slices.Sorted(maps.Keys(families))
		if one.Fault != "" {
			c.Faults = append(c.Faults, one)
		}
		if c.Ran%10 != 0 && c.Ran < len(all) {
			return nil
		}
		return w.show(Result{Checks: c})
	}
	if err := w.show(Result{Checks: c}); err != nil {
		return err
	}
	for _, check := range all {
		if err := w.ctx.Err(); err != nil {
			return errors.Join(w.show(Result{Checks: c}), err)
		}
		one, err := check.Run(dev)
		if err != nil {
			return errors.Join(w.show(Result{Checks: c}), err)
		}
		if err := keep(one); err != nil {
			return err
		}
	}
	one, err := w.generation(dev)
	if err != nil {
		return err
	}
	return keep(one)
}

// generation compares the logits of a prompt in chunks and token by token with the
// plain forward pass on the CPU.
func (w *worker) generation(dev *gpu.Device) (graph.Checked, error) {
	const tokens = 24
	dir, err := os.MkdirTemp("", "bitnet-report-")
	if err != nil {
		return graph.Checked{}, err
	}
	defer os.RemoveAll(dir)
	init, _, err := unpackParity(dir)
	if err != nil {
		return graph.Checked{}, err
	}
	weights, err := modelfile.ReadWeights(init)
	if err != nil {
		return graph.Checked{}, err
	}
	ids := make([]uint32, tokens)
	for i := range ids {
		ids[i] = uint32(i*i*7+i) % uint32(weights.Config.VocabSize)
	}
	want, err := weights.Forward(ids, modelfile.PerToken)
	if err != nil {
		return graph.Checked{}, err
	}
	return compareGeneration(w.ctx, dev, weights, ids, want)
}

// compareGeneration feeds two sequences in chunks and by single tokens. Attention
// sums in another order than the reference, so that now and then an activation
// rounds to the next int8 code: farLogit bounds what that moves, and most
// positions stay within nearLogit.
func compareGeneration(ctx context.Context, dev *gpu.Device, weights *modelfile.Weights, ids []uint32, want [][]float64) (graph.Checked, error) {
	const nearLogit, farLogit, farPositions = 1e-4, 2e-2, 0.25
	out := graph.Checked{Name: "generation with cached keys"}
	m, err := model.New(weights.Config, dev.Adapter(), graph.ForInference, "")
	if err != nil {
		return out, err
	}
	if err := m.Allocate(dev); err != nil {
		return out, err
	}
	defer m.Release()
	if err := m.LoadWeights(weights); err != nil {
		return out, err
	}
	g, err := infer.NewGenerator(m, 2, len(ids))
	if err != nil {
		return out, err
	}
	defer g.Release()
	far, positions, worst := 0, 0, 0.0
	for _, n := range [][2]int{{1, 5}, {7, 1}, {1, 1}, {5, 0}, {1, 11}} { // new tokens of each
		feed := make([][]uint32, 2)
		for i := range feed {
			at := g.Len(i)
			feed[i] = ids[at : at+n[i]]
		}
		logits, err := g.Feed(ctx, feed)
		if err != nil {
			return out, err
		}
		for i := range feed {
			if n[i] == 0 {
				continue
			}
			off := 0.0
			for j, v := range want[g.Len(i)-1] {
				if d := math.Abs(float64(logits[i][j]) - v); !(d <= off) {
					off = d
				}
			}
			positions++
			if !(off <= nearLogit) {
				far++
			}
			if !(off <= worst) {
				worst = off
			}
		}
	}
	if out.Share = max(worst/farLogit, float64(far)/float64(positions)/farPositions); !(out.Share <= 1) {
		out.Fault = fmt.Sprintf("logits are up to %.2g from float64, and %d of %d positions are more than %g from it", worst, far, positions, nearLogit)
		out.Share = 0 // which may be no number
	}
	for _, seq := range []int{1, 16} {
		cache, err := m.NewCache(2, len(ids))
		if err != nil {
			return out, err
		}
		plan, err := m.PlanCached(cache, 2*seq, 2, true)
		if err != nil {
			return out, err
		}
		for _, s := range plan.Sources() {
			out.Families = append(out.Families, s.Family)
		}
	}
	return out, nil
}

// parity trains the model of the tests for a few steps, from the same weights
// over the same tokens as PyTorch did, and compares the losses.
func (w *worker) parity(dev *gpu.Device) error {
	dir, err := os.MkdirTemp("", "bitnet-report-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	init, want, err := unpackParity(dir)
	if err != nil {
		return err
	}
	c, err := parityConfig(dir, init, w.Precision)
	if err != nil {
		return err
	}
	p := &Parity{}
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	events := train.Events{Metrics: func(m runs.Metrics) {
		if p.Steps == paritySteps {
			return
		}
		got := m.Get(runs.Loss)
		off := math.Abs(got/want[p.Steps] - 1)
		if p.Worst = max(p.Worst, off); p.Steps < 10 {
			p.Early = max(p.Early, off)
		}
		p.Losses = append(p.Losses, got)
		if math.IsNaN(off) { // JSON has no number for it
			p.Losses[p.Steps], p.Early, p.Worst = 0, 1, 1
		}
		if p.Steps++; p.Steps == paritySteps {
			cancel()
		}
	}}
	job, err := train.Prepare(ctx, c, train.Start{RunsDir: dir, RunID: "parity", Init: init}, events)
	if err != nil {
		return err
	}
	t, err := job.Begin(ctx, dev)
	if err != nil {
		return err
	}
	defer t.Close()
	err = t.Train(ctx)
	if errors.Is(err, context.Canceled) && p.Steps == paritySteps {
		err = nil
	}
	return errors.Join(w.show(Result{Parity: p}), err)
}

// parityConfig are the settings of testdata/reference.py.
func parityConfig(dir, init, precision string) (*train.Config, error) {
	c, err := train.Preset("simple")
	if err != nil {
		return nil, err
	}
	if c.Model, err = modelfile.ReadTrainable(init); err != nil {
		return nil, err
	}
	for _, s := range []string{"steps=200", "batch_size=8", "seq_len=32", "grad_accum=2", "warmup_steps=20", "learning_rate=1e-4", "shuffle=false",
		"log_interval=1", "eval_interval=0", "sample_interval=0", "checkpoint_interval=0", "checkpoint_minutes=0", "keep_checkpoints=1", "prompts=[]", "tuning=off",
		"precision=" + precision, "data.source=tokens:" + filepath.Join(dir, "tokens.u16")} {
		if err := c.Set(s); err != nil {
			return nil, err
		}
	}
	return c, c.Check()
}

// unpackParity writes the model and the tokens into a folder, and returns the
// model's place and PyTorch's losses.
func unpackParity(dir string) (init string, losses []float64, err error) {
	root, err := fs.Sub(testdata.Parity, "golden/train")
	if err != nil {
		return "", nil, err
	}
	if err := os.CopyFS(dir, root); err != nil {
		return "", nil, fmt.Errorf("unpacking what to compare with: %w", err)
	}
	text, err := fs.ReadFile(root, "losses.jsonl")
	if err != nil {
		return "", nil, err
	}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan() && len(losses) < paritySteps; {
		var line struct {
			Loss float64 `json:"loss"`
		}
		if err := json.Unmarshal(s.Bytes(), &line); err != nil {
			return "", nil, err
		}
		losses = append(losses, line.Loss)
	}
	return filepath.Join(dir, "init"), losses, nil
}
