package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bitnet/bitnet/cluster"
	"bitnet/bitnet/runs"
	"bitnet/data/tokenizer"
	"bitnet/graph"
)

// Ranks of a cluster.Group train one run together. Each reads all rows of a step
// and computes its own; the gradients are summed, so that every rank makes the
// same update. Rank 0 leads: it alone touches the run directory, and what only it
// can know it tells the others. An error on any rank ends all: whoever waits for
// an exchange gets it as an error.

// compareEvery is how many steps pass until ranks compare their weights. They
// also do before every checkpoint.
const compareEvery = 100

// leads reports whether this rank reads and writes the run directory.
func (t *Trainer) leads() bool { return t.group.Rank() == 0 }

// share is how the rows of a step are shared among ranks.
type share struct {
	Rows  int // of a micro-batch
	Accum int // micro-batches of each rank
}

// shareOf shares the batch_size x grad_accum rows of a step: each rank computes
// as many micro-batches as one rank would, of as many rows or, where there are
// not enough of them, of fewer rows.
func (c *Config) shareOf(ranks int) (share, error) {
	t := c.Train
	rows := t.BatchSize * t.GradAccum
	if rows%ranks != 0 {
		return share{}, &ConfigError{fmt.Errorf("%d ranks cannot share the %d sequences of a step (batch_size %d x grad_accum %d) equally: start %s ranks, or change --batch-size or --grad-accum",
			ranks, rows, t.BatchSize, t.GradAccum, near(rows, ranks))}
	}
	own := rows / ranks
	s := share{Rows: min(t.BatchSize, own)}
	for own%s.Rows != 0 {
		s.Rows--
	}
	s.Accum = own / s.Rows
	return s, nil
}

// near names the divisors of rows next to n.
func near(rows, n int) string {
	var names []string
	for below := n - 1; below > 0; below-- {
		if rows%below == 0 {
			names = append(names, fmt.Sprint(below))
			break
		}
	}
	for above := n + 1; above <= rows; above++ {
		if rows%above == 0 {
			names = append(names, fmt.Sprint(above))
			break
		}
	}
	return strings.Join(names, " or ")
}

// origin is what rank 0 tells of what a run starts from.
type origin struct {
	Resumed   bool
	State     runs.State
	Tokenizer map[string][]byte // files of the model's own tokenizer; empty for none
}

// shareOrigin tells the others what rank 0 found, and gives the tokenizer of the
// model that the run starts from.
func (j *Job) shareOrigin(own *tokenizer.Tokenizer) (*tokenizer.Tokenizer, error) {
	group := j.start.Group
	o := origin{Resumed: j.run != nil, State: j.state}
	if group.Size() > 1 {
		var err error
		if o.Tokenizer, err = tokenizerFiles(own); err != nil {
			return nil, err
		}
	}
	if err := tellJSON(group, &o); err != nil {
		return nil, err
	}
	j.resumed, j.state = o.Resumed, o.State
	if group.Rank() == 0 || len(o.Tokenizer) == 0 {
		return own, nil
	}
	dir, err := os.MkdirTemp("", "bitnet-tokenizer-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	for name, text := range o.Tokenizer {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return nil, err
		}
	}
	return tokenizer.Load(dir)
}

// tellJSON replaces v by that of rank 0.
func tellJSON(group *cluster.Group, v any) error {
	if group.Size() == 1 {
		return nil
	}
	var text []byte
	if group.Rank() == 0 {
		var err error
		if text, err = json.Marshal(v); err != nil {
			return err
		}
	}
	text, err := group.Tell(text)
	if err != nil || group.Rank() == 0 {
		return err
	}
	return json.Unmarshal(text, v)
}

// inTurn lets rank 0 prepare the data first, then one rank of every host, then the
// others, which then find it in their cache.
func inTurn(group *cluster.Group, do func() error) error {
	if group.Size() == 1 {
		return do()
	}
	mine := 2
	switch {
	case group.Rank() == 0:
		mine = 0
	case group.Local() == 0:
		mine = 1
	}
	for turn := range 3 {
		if turn == mine {
			done := group.Busy()
			err := do()
			done()
			if err != nil {
				return err
			}
		}
		if err := group.Barrier(); err != nil {
			return err
		}
	}
	return nil
}

// agreePrecision lets ranks whose cards differ compute in one precision.
func (t *Trainer) agreePrecision() error {
	if t.group.Size() == 1 || t.Config.Train.Precision != graph.AutoPrecision {
		return nil
	}
	m, _, err := plan(&t.Config, t.share, t.dev.Adapter(), false)
	if err != nil {
		return err
	}
	different, err := t.group.Same(uint64(m.Params.Precision))
	if err == nil && different >= 0 {
		t.Config.Train.Precision = graph.Float32.String()
		t.events.note("the ranks' cards compute best in different precisions: all use f32 (--precision sets it)")
	}
	return err
}

// checkSameData compares what the ranks read: text that was prepared on several
// hosts may differ.
func (t *Trainer) checkSameData() error {
	if t.group.Size() == 1 {
		return nil
	}
	text, err := t.firstTokens()
	if err != nil {
		return err
	}
	different, err := t.group.Same(hash(text))
	if err == nil && different >= 0 {
		err = fmt.Errorf("rank %d on %s reads other data than rank 0: give all hosts the same files and the same tokenizer, for example on a shared disk (--data, --tokenizer, data.dir)", different, t.group.Hosts()[different])
	}
	return err
}

func hash(text string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(text))
	return h.Sum64()
}

// introduce collects where the ranks compute.
func (t *Trainer) introduce() error {
	if t.group.Size() == 1 {
		return nil
	}
	a := t.dev.Adapter()
	const room = 512
	own := make([]byte, room)
	text, err := json.Marshal(runs.Rank{Host: t.group.Hosts()[t.group.Rank()], Device: a.Name, Driver: a.Driver, Backend: a.Backend})
	if err != nil || len(text) > room {
		return fmt.Errorf("describing this rank: %d bytes: %w", len(text), errors.Join(err))
	}
	copy(own, text)
	all, err := t.group.Gather(own)
	if err != nil {
		return err
	}
	for _, text := range all {
		var r runs.Rank
		if err := json.Unmarshal([]byte(strings.TrimRight(string(text), "\x00")), &r); err != nil {
			return fmt.Errorf("reading what another rank says of itself: %w", err)
		}
		t.ranks = append(t.ranks, r)
	}
	t.mixed = slices.ContainsFunc(t.ranks, func(r runs.Rank) bool {
		return r.Device != t.ranks[0].Device || r.Driver != t.ranks[0].Driver || r.Backend != t.ranks[0].Backend
	})
	if t.mixed {
		t.events.note(fmt.Sprintf("the ranks compute on different cards, which round differently: all take over the weights of rank 0 every %d steps", compareEvery))
	}
	return nil
}

// agree makes what a rank wants after a step the will of all: a stop that any
// rank was asked for, and a checkpoint that rank 0 finds overdue.
func (t *Trainer) agree(stop, overdue bool) (bool, bool, error) {
	if t.group.Size() == 1 {
		return stop, overdue, nil
	}
	values := []int64{0, 0}
	if stop {
		values[0] = 1
	}
	if overdue && t.leads() {
		values[1] = 1
	}
	all, err := t.group.Agree(values...)
	if err != nil {
		return false, false, err
	}
	if all[0] == 1 && !stop {
		t.events.note("another rank was asked to stop: stopping after this step")
	}
	return all[0] == 1, all[1] == 1, nil
}

// together is a context that ends on all ranks at once: where one of several ranks
// gave up what the others still wait for, these would hang.
func (t *Trainer) together(ctx context.Context, stop bool) context.Context {
	if t.group.Size() == 1 {
		return ctx
	}
	ctx = context.WithoutCancel(ctx)
	if !stop {
		return ctx
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}

// sumLosses makes the losses of a rank's part of the steps those of the steps.
func (t *Trainer) sumLosses(history []graph.StepResult) error {
	if t.group.Size() == 1 {
		return nil
	}
	losses := make([]float32, len(history))
	for i, h := range history {
		losses[i] = h.Loss
	}
	if err := t.group.Sum(losses, cluster.Float32).Wait(); err != nil {
		return err
	}
	for i := range history {
		history[i].Loss = losses[i]
	}
	return nil
}

// takeOver replaces forms of the weights by those of rank 0. It gives the largest
// relative difference that this rank had, as a root mean square of a parameter.
func (t *Trainer) takeOver(slots ...graph.Slot) (worst float64, err error) {
	for _, slot := range slots {
		for _, p := range t.model.Params.All() {
			if !p.Keeps(slot) {
				continue
			}
			values := make([]float32, p.Rows*p.Cols)
			if err := p.Read(slot, values); err != nil {
				return 0, err
			}
			before := slices.Clone(values)
			if err := t.group.BroadcastValues(values); err != nil {
				return 0, err
			}
			worst = max(worst, distance(before, values))
			if err := p.Write(slot, values); err != nil {
				return 0, err
			}
		}
	}
	return worst, t.model.Params.Quantize(t.dev)
}

// distance is |a - b| / |b|.
func distance(a, b []float32) float64 {
	var diff, size float64
	for i := range a {
		d := float64(a[i]) - float64(b[i])
		diff += d * d
		size += float64(b[i]) * float64(b[i])
	}
	if diff == 0 {
		return 0
	}
	return math.Sqrt(diff / size)
}

// everything are the forms that a checkpoint keeps.
var everything = []graph.Slot{graph.Master, graph.FirstMoment, graph.SecondMoment}

// mostDrift is how far weights of different cards may be apart: rounding makes a
// millionth in so few steps.
const mostDrift = 1e-2

// compareWeights is an error if a rank's weights are not those of rank 0.
func (t *Trainer) compareWeights() error {
	if t.group.Size() == 1 || t.compared == t.state.Step {
		return nil
	}
	t.compared = t.state.Step
	defer t.group.Busy()()
	if t.mixed {
		worst, err := t.takeOver(everything[:1]...)
		if err == nil && !(worst <= mostDrift) {
			err = fmt.Errorf("after step %d the weights of this rank are not those of rank 0 (by %.2g of their size): its card or driver computes wrong results", t.state.Step, worst)
		}
		if err == nil {
			_, err = t.takeOver(everything[1:]...)
		}
		return err
	}
	sum, err := t.checksum()
	if err != nil {
		return err
	}
	different, err := t.group.Same(sum)
	if err == nil && different >= 0 {
		err = fmt.Errorf("after step %d the weights of rank %d on %s differ from those of rank 0: one of the two computes wrong results (memory, card, driver): check them, and resume from the last checkpoint",
			t.state.Step, different, t.group.Hosts()[different])
		if !t.leads() {
			err = fmt.Errorf("%w: %w", cluster.ErrOther, err) // rank 0 says it
		}
	}
	return err
}

// checksum is one over all weights.
func (t *Trainer) checksum() (sum uint64, err error) {
	values := make([]float32, min(t.model.Params.Count(), 4<<20))
	for at := 0; at < int(t.model.Params.Count()); at += len(values) {
		values = values[:min(len(values), int(t.model.Params.Count())-at)]
		if err := t.model.Params.ReadFlat(graph.Master, at, values); err != nil {
			return 0, err
		}
		sum = cluster.Checksum(sum, values)
	}
	return sum, nil
}
