package sweep

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"gopkg.in/yaml.v3"

	"bitnet/bitnet/runs"
	"bitnet/bitnet/train"
	"bitnet/data/atomicfile"
	"bitnet/data/plainfile"
	"bitnet/data/printable"
)

// Plan is what a sweep tries; it is stored as sweep.yaml and does not change.
type Plan struct {
	Base   train.Config `yaml:"base"`   // what all trials share
	By     string       `yaml:"by"`     // the score that ranks trials
	Halve  int          `yaml:"halve"`  // one in so many trials goes on after a round; 0: all finish
	Rounds int          `yaml:"rounds"` // 1 without halving
	Trials []Trial      `yaml:"trials"`
}

// Trial is one training run of a sweep. Trials with the same settings differ in
// their seeds alone.
type Trial struct {
	ID   string   `yaml:"id"`
	Set  []string `yaml:"set"` // key=value, over the base
	Seed uint64   `yaml:"seed"`
}

// Options are what a plan is made of.
type Options struct {
	Points [][]string // as Grid and Random give them
	Seeds  int        // trials of each point
	By     string     // a score's name; "" is the validation loss
	Halve  int        // 0, or 2 and more
}

const (
	planName  = "sweep.yaml"
	trialsDir = "trials"
	maxPlan   = 16 << 20
	maxRounds = 5
)

// NewPlan makes a plan and checks every trial's configuration.
func NewPlan(base *train.Config, o Options) (*Plan, error) {
	if o.By == "" {
		o.By = runs.ValidationLoss
	}
	switch {
	case len(o.Points) == 0:
		return nil, errors.New("a sweep needs something to try: --over KEY=A,B,C")
	case o.Seeds < 1 || o.Seeds > 100:
		return nil, fmt.Errorf("--seeds %d: give a number from 1 to 100", o.Seeds)
	case o.Halve != 0 && (o.Halve < 2 || o.Halve > 100):
		return nil, fmt.Errorf("--halve %d: give a number from 2 to 100", o.Halve)
	}
	p := &Plan{Base: *base, By: o.By, Halve: o.Halve, Rounds: 1}
	for n := len(o.Points); o.Halve > 0 && n >= o.Halve && p.Rounds < maxRounds; n = (n + o.Halve - 1) / o.Halve {
		p.Rounds++
	}
	for _, set := range o.Points {
		for s := range o.Seeds {
			p.Trials = append(p.Trials, Trial{ID: fmt.Sprintf("%03d", len(p.Trials)+1), Set: set, Seed: base.Train.Seed + uint64(s)})
		}
	}
	return p, p.check()
}

// check makes every trial's configuration once: a plan that cannot run is refused
// before anything is trained.
func (p *Plan) check() error {
	for _, t := range p.Trials {
		c, err := p.Config(t)
		if err != nil {
			return err
		}
		if err := c.Check(); err != nil {
			return fmt.Errorf("trial %s (%s): %w", t.ID, printable.String(t.Name()), err)
		}
		if c.Train.Epochs > 0 {
			return fmt.Errorf("trial %s trains for %g epochs, and the rounds of a sweep need a number of steps: give --num-steps", t.ID, c.Train.Epochs)
		}
		if ends := p.ends(c); p.Rounds > 1 && ends[0] < 1 {
			return fmt.Errorf("%d steps are too few for %d rounds: leave out --halve or train longer", c.Train.Steps, p.Rounds)
		}
	}
	return nil
}

// Name is the trial's settings on one line.
func (t Trial) Name() string {
	name := ""
	for i, s := range t.Set {
		if i > 0 {
			name += " "
		}
		name += s
	}
	return name
}

// Config is the configuration of a trial: it evaluates at the end of each round,
// and generates no samples.
func (p *Plan) Config(t Trial) (*train.Config, error) {
	c, err := p.settings(t.Set)
	if err != nil {
		return nil, err
	}
	c.Train.Seed = t.Seed
	o := &c.Output
	o.SampleInterval, o.Prompts = 0, train.Prompts{}
	o.KeepCheckpoints = 1
	if p.Rounds > 1 {
		if first := p.ends(c)[0]; o.EvalInterval <= 0 || first%o.EvalInterval != 0 {
			o.EvalInterval = first
		}
	}
	return c, nil
}

// settings is the base with some values changed.
func (p *Plan) settings(set []string) (*train.Config, error) {
	c := p.Base
	for _, s := range set {
		if err := c.Set(s); err != nil {
			return nil, err
		}
	}
	return &c, nil
}

// ends lists the step at which each round ends for a configuration: the last is
// all of its steps, and each is Halve times the one before, rounded up.
func (p *Plan) ends(c *train.Config) []int {
	ends := make([]int, p.Rounds)
	first := int(math.Ceil(float64(c.Train.Steps) / math.Pow(float64(max(p.Halve, 1)), float64(p.Rounds-1))))
	for i, step := 0, first; i < p.Rounds; i, step = i+1, step*p.Halve {
		ends[i] = min(step, c.Train.Steps)
	}
	ends[p.Rounds-1] = c.Train.Steps
	return ends
}

// Create makes the folder of a sweep, all at once. A folder that holds the same plan
// is opened instead, so that repeating a command continues its sweep, and several
// processes may be started with the same command; joined reports that.
func Create(dir string, p *Plan) (s *Sweep, joined bool, err error) {
	text, err := yaml.Marshal(p)
	if err != nil {
		return nil, false, err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, false, fmt.Errorf("making the sweep's folder: %w", err)
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), ".sweep-")
	if err != nil {
		return nil, false, fmt.Errorf("making the sweep's folder: %w", err)
	}
	defer os.RemoveAll(temp)
	if err := errors.Join(os.Chmod(temp, 0o755), os.Mkdir(filepath.Join(temp, trialsDir), 0o755)); err != nil {
		return nil, false, fmt.Errorf("making the sweep's folder: %w", err)
	}
	if err := atomicfile.Write(filepath.Join(temp, planName), text); err != nil {
		return nil, false, fmt.Errorf("writing the sweep's plan: %w", err)
	}
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		if err = os.Rename(temp, dir); err == nil {
			return &Sweep{Dir: dir, Plan: p}, false, nil
		}
		if _, gone := os.Lstat(dir); gone != nil { // else another process was faster
			return nil, false, fmt.Errorf("making the sweep's folder: %w", err)
		}
	}
	there, err := plainfile.Read(filepath.Join(dir, planName), maxPlan)
	if err != nil || !bytes.Equal(there, text) {
		return nil, false, fmt.Errorf("%s exists and holds something else: choose another --name, or continue that sweep with bitnet sweep %s", printable.String(dir), printable.Shell(dir))
	}
	s, err = Open(dir)
	return s, true, err
}

// Open reads the folder of a sweep.
func Open(dir string) (*Sweep, error) {
	path := filepath.Join(dir, planName)
	text, err := plainfile.Read(path, maxPlan)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not the folder of a sweep: it has no %s", printable.String(dir), planName)
	} else if err != nil {
		return nil, fmt.Errorf("reading the sweep's plan: %w", err)
	}
	var p Plan
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&p); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", printable.String(path), err)
	}
	seen := map[string]bool{}
	for _, t := range p.Trials {
		if !trialID.MatchString(t.ID) || seen[t.ID] {
			return nil, fmt.Errorf("%s is damaged: trial %q", printable.String(path), t.ID)
		}
		seen[t.ID] = true
	}
	if len(p.Trials) == 0 || len(p.Trials) > 100*maxPoints || p.Rounds < 1 || p.Rounds > maxRounds || p.Rounds > 1 && p.Halve < 2 {
		return nil, fmt.Errorf("%s is damaged: it has no trials, or rounds that cannot be", printable.String(path))
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", printable.String(path), err)
	}
	return &Sweep{Dir: dir, Plan: &p}, nil
}
