package train

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"bitnet/gpu"
	"bitnet/graph"
)

// Memory says what of a step's activations stays in the device's memory, as the
// value of train.memory.
type Memory string

const (
	MemoryAuto Memory = "auto" // keep what the budget, or else the adapter, has room for
	MemoryFast Memory = "fast" // keep all
	MemoryLow  Memory = "low"  // keep as little as possible, and compute the rest again
)

// ParseSize reads a size in bytes such as 6GiB, 1.5 GiB or 800MiB.
func ParseSize(s string) (int64, error) {
	text := strings.TrimSpace(s)
	for _, unit := range []struct {
		name  string
		bytes float64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}} {
		number, ok := strings.CutSuffix(text, unit.name)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !(v > 0 && v*unit.bytes < math.MaxInt64/2) {
			break
		}
		return int64(v * unit.bytes), nil
	}
	return 0, fmt.Errorf("%q is not a size: write it as 6GiB or 800MiB", s)
}

func (t *Optimisation) checkMemory() error {
	switch t.Memory {
	case MemoryAuto, MemoryFast, MemoryLow:
	default:
		return fmt.Errorf("train.memory is %q: it must be %s, %s or %s", t.Memory, MemoryAuto, MemoryFast, MemoryLow)
	}
	if t.MemoryBudget == "" {
		return nil
	}
	if t.Memory != MemoryAuto {
		return fmt.Errorf("train.memory_budget is for train.memory %s, not %s", MemoryAuto, t.Memory)
	}
	if _, err := ParseSize(t.MemoryBudget); err != nil {
		return fmt.Errorf("train.memory_budget: %w", err)
	}
	return nil
}

// memory is the bound of a step's memory, for graph.Graph.LimitMemory.
func (t *Optimisation) memory() int64 {
	switch {
	case t.Memory == MemoryLow:
		return graph.KeepFew
	case t.MemoryBudget != "":
		n, err := ParseSize(t.MemoryBudget)
		if err != nil {
			panic(err) // it was checked
		}
		return n
	}
	return graph.KeepAll
}

// compile makes the program of the step. Where the adapter has no room for all
// activations, and nothing says how much to use, it plans again and keeps fewer.
func (t *Trainer) compile(variants map[string]string) (err error) {
	t.program, err = t.Plan.Compile(t.dev)
	c := &t.Config.Train
	if !errors.Is(err, gpu.ErrOutOfMemory) || c.Memory != MemoryAuto || c.MemoryBudget != "" {
		return err
	}
	less, planError := t.model.PlanTraining(t.Config.step(t.share, graph.KeepFew, t.ramping))
	if planError != nil {
		return errors.Join(err, planError)
	}
	if planError = less.Use(variants); planError != nil {
		return errors.Join(err, planError)
	}
	t.events.note(fmt.Sprintf("%v has no room for all activations (%s): %s", t.dev.Adapter().Name, mib(t.Plan), keeps(less)))
	t.Plan = less
	t.program, err = t.Plan.Compile(t.dev)
	return err
}

// keeps says what a plan computes again and needs.
func keeps(p *graph.Plan) string {
	return fmt.Sprintf("computing %.0f%% of the arithmetic again, so that a step needs %s", 100*p.Again(), mib(p))
}

func mib(p *graph.Plan) string {
	var n int64
	for _, m := range p.Memory() {
		n += m.Bytes
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
