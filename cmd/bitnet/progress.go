package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"bitnet/bitnet/runs"
	"bitnet/bitnet/task"
	"bitnet/bitnet/train"
	"bitnet/gpu"
)

// progress shows a person what happens in a run: on a terminal in a line at the
// bottom that is redrawn, otherwise in a line now and then.
type progress struct {
	mu    sync.Mutex
	out   io.Writer
	live  bool
	width func() int // of the terminal
	now   func() time.Time

	drawn time.Time // when the bottom line was last written
	open  bool      // there is one

	began       time.Time
	first       int64 // steps finished before
	step, steps int64
	pace        runs.Pace // from the first step on, which compiles
	metrics     *runs.Metrics
	loss        float64 // smoothed
	eval        *runs.Eval
	best        runs.Eval // the one of the lowest validation loss
	anomalies   map[runs.AnomalyKind]int
}

const (
	drawEvery    = 200 * time.Millisecond // on a terminal
	prepareEvery = 15 * time.Second       // elsewhere
	smoothSteps  = 50                     // over which the loss is smoothed, at most
	paceLeast    = 50 * time.Millisecond  // between two readings of the pace
)

func newProgress(out io.Writer) *progress {
	return &progress{
		out: out, live: isTerminal(out), now: time.Now, pace: runs.Pace{Least: paceLeast}, anomalies: map[runs.AnomalyKind]int{},
		width: func() int {
			if f, ok := out.(*os.File); ok {
				if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
					return w
				}
			}
			return 80
		},
	}
}

func (p *progress) prepare(c *train.Config, a gpu.Adapter) {
	p.began = p.now()
	p.line("%s on %s: getting ready", c.Name, a.Name)
}

func (p *progress) start(t *train.Trainer) {
	c := t.Config.Train
	p.mu.Lock()
	p.first, p.step, p.steps = t.Step(), t.Step(), int64(c.Steps)
	p.began = p.now()
	p.mu.Unlock()
	p.line("run %s: steps %d to %d, %d tokens per step", t.Run.Dir, t.Step()+1, c.Steps, t.TokensPerStep())
}

// redraw is how often a line about what is being done is drawn again.
func (p *progress) redraw() time.Duration {
	if p.live {
		return drawEvery
	}
	return prepareEvery
}

func (p *progress) events() train.Events {
	return train.Events{
		Note: func(s string) { p.line("%s", s) },
		Prepare: func(now task.Preparation) {
			if s := preparationLine(now); s != "" {
				p.bottom(s, p.redraw())
			}
		},
		Step: p.stepped,
		Metrics: func(m runs.Metrics) {
			p.measured(m)
			p.bottom(p.status(), 0)
		},
		Eval: func(r runs.Eval) {
			p.mu.Lock()
			p.eval = &r
			if p.best.Tokens == 0 || r.Loss < p.best.Loss {
				p.best = r
			}
			p.mu.Unlock()
			p.line("step %d: validation %s", r.Step, evalLine(r))
		},
		Samples: func(all []runs.Sample) {
			for _, s := range all {
				p.line("  %s|%s", oneLine(s.Prompt), oneLine(s.Text))
			}
		},
		Checkpoint: func(_ int64, dir string) { p.line("checkpoint %s", dir) },
		Anomaly: func(a runs.Anomaly) {
			p.mu.Lock()
			p.anomalies[a.Kind]++
			p.mu.Unlock()
			p.line("%s", anomalyLine(a))
		},
	}
}

// oneLine keeps what a model says from moving the cursor.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}

func (p *progress) stepped(step int64) {
	p.mu.Lock()
	p.pace.Observe(step, p.now())
	p.step = step
	p.mu.Unlock()
	if p.live {
		p.bottom(p.status(), drawEvery)
	}
}

func (p *progress) measured(m runs.Metrics) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if old := p.metrics; old == nil || m.Step <= old.Step || math.IsNaN(p.loss) {
		p.loss = m.Get(runs.LossMean)
	} else {
		over := min(smoothSteps, float64(m.Step)/4) // less where the loss still falls fast
		p.loss += (m.Get(runs.LossMean) - p.loss) * (1 - math.Exp(-float64(m.Step-old.Step)/over))
	}
	p.metrics = &m
}

// status is the line about how far training is.
func (p *progress) status() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := fmt.Sprintf("step %d/%d", p.step, p.steps)
	if m := p.metrics; m != nil {
		s += fmt.Sprintf("  loss %.4f  lr %.2e  %s tokens/s", p.loss, m.Get(runs.LR), thousands(int64(m.Get(runs.TokensPerSec)+0.5)))
	}
	if left := p.pace.Left(p.steps - p.step); left > 0 {
		s += "  left " + brief(left)
	}
	if m := p.metrics; m != nil {
		s += fmt.Sprintf("  norm %.2f  %d MiB", m.Get(runs.GradNorm), int64(m.Get(runs.Memory))>>20)
	}
	return s
}

// bottom writes the line at the bottom, if the last time is long enough ago.
func (p *progress) bottom(s string, every time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now().Sub(p.drawn) < every {
		return
	}
	p.drawn = p.now()
	if !p.live {
		fmt.Fprintln(p.out, s)
		return
	}
	if r := []rune(s); len(r) >= p.width() {
		s = string(r[:max(p.width()-1, 0)])
	}
	fmt.Fprintf(p.out, "\r\x1b[K%s", s)
	p.open = true
}

// line writes a line that stays, above the one at the bottom.
func (p *progress) line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.open, p.drawn = false, time.Time{}
	}
	fmt.Fprintf(p.out, format+"\n", args...)
}

func (p *progress) end(t *train.Trainer, err error) error {
	p.mu.Lock()
	if p.open { // the last state of training stays
		fmt.Fprintln(p.out)
		p.open = false
	}
	p.mu.Unlock()
	if t == nil {
		return err
	}
	took := p.now().Sub(p.began)
	c := t.Config.Train
	steps := t.Step() - p.first
	switch {
	case err == nil && t.Step() < int64(c.Steps):
		p.line("stopped early at step %d of %d", t.Step(), c.Steps)
	case err == nil:
		tokens := t.Config.TokensBetween(p.first, t.Step())
		p.line("done: %s steps, %s tokens in %s", thousands(steps), thousands(tokens), brief(took))
	case errors.Is(err, context.Canceled):
		p.line("stopped at step %d of %d", t.Step(), c.Steps)
	default:
		return err
	}
	if p.metrics != nil {
		p.line("  training   loss %.4f, smoothed", p.loss)
	}
	if p.eval != nil {
		p.line("  validation %s", evalLine(*p.eval))
		if p.best.Step != p.eval.Step {
			p.line("  best       loss %.4f at step %d", p.best.Loss, p.best.Step)
		}
	}
	if len(p.anomalies) > 0 {
		var parts []string
		for k, n := range p.anomalies {
			parts = append(parts, fmt.Sprintf("%d %s", n, k))
		}
		slices.Sort(parts)
		p.line("  anomalies  %s; see %s/logs/anomalies.jsonl", strings.Join(parts, ", "), t.Run.Dir)
	}
	p.line("next:")
	for _, next := range nextCommands(t, err) {
		p.line("  %s", next)
	}
	return err
}

// evalLine is an evaluation in one line: the loss, and the scores of the whole
// examination without those of its parts.
func evalLine(r runs.Eval) string {
	s := fmt.Sprintf("loss %.4f, perplexity %.2f", float64(r.Loss), float64(r.Perplexity))
	for _, score := range r.Scores {
		if score.Part == "" {
			s += fmt.Sprintf(", %s %s", score.Name, score)
		}
	}
	return s
}

// preparationLine is one line about downloads, the tokenizer and token shards.
func preparationLine(now task.Preparation) string {
	parts := prepareParts(now.Shards, now.Downloads, now.Fetched, now.Files)
	if now.Sample > 0 && now.Shards.Documents == 0 {
		if now.Sampled < now.Sample {
			parts = append(parts, fmt.Sprintf("tokenizer: read %d of %d MiB", now.Sampled>>20, now.Sample>>20))
		} else {
			parts = append(parts, "tokenizer: merging")
		}
	}
	return strings.Join(parts, "; ")
}
