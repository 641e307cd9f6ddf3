package bitnet

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"bitnet/bitnet/tensorboard"
)

// board writes what a run logs as TensorBoard events. A nil board writes
// nothing.
type board struct{ w *tensorboard.Writer }

// openBoard makes the board if the configuration wants one; after a rollback it
// takes back what was written of later steps.
func (t *Trainer) openBoard() error {
	next := t.state.Step + 1
	if t.board != nil {
		return t.board.w.Restart(next)
	}
	if !t.Config.Output.TensorBoard {
		return nil
	}
	w, err := tensorboard.Create(filepath.Join(t.Dir, "tensorboard"), next)
	if err != nil {
		return err
	}
	t.board = &board{w}
	return nil
}

func (b *board) close() {
	if b != nil {
		b.w.Close()
	}
}

func (b *board) metrics(m Metrics) error {
	if b == nil {
		return nil
	}
	values := []tensorboard.Scalar{
		{Tag: "train/loss", Value: m.Loss}, {Tag: "train/loss_mean", Value: m.LossMean}, {Tag: "train/grad_norm", Value: m.GradNorm},
		{Tag: "train/learning_rate", Value: m.LR}, {Tag: "train/weight_decay", Value: m.WeightDecay}, {Tag: "train/tokens_seen", Value: float64(m.TokensSeen)},
		{Tag: "speed/tokens_per_sec", Value: m.TokensPerSec}, {Tag: "speed/step_time_ms", Value: m.StepTimeMS},
		{Tag: "speed/device_memory_mib", Value: float64(m.Memory) / (1 << 20)},
	}
	shares := len(values)
	for name, s := range m.Ternary {
		name = strings.TrimSuffix(strings.TrimPrefix(name, "model."), ".weight")
		values = append(values, tensorboard.Scalar{Tag: "zeros/" + name, Value: s[1]})
	}
	byTag(values[shares:])
	return b.w.Scalars(m.Step, values...)
}

func (b *board) eval(r EvalResult) error {
	if b == nil {
		return nil
	}
	values := []tensorboard.Scalar{{Tag: "eval/loss", Value: r.Loss}, {Tag: "eval/perplexity", Value: r.Perplexity}}
	if r.ExactMatch != nil {
		values = append(values, tensorboard.Scalar{Tag: "eval/exact_match", Value: *r.ExactMatch})
	}
	shared := len(values)
	for op, share := range r.Operators {
		values = append(values, tensorboard.Scalar{Tag: "eval/exact_match " + op, Value: share})
	}
	byTag(values[shared:])
	if a := r.Arena; a != nil && a.Games > 0 {
		for _, v := range []struct {
			tag string
			n   int
		}{{"won", a.Wins}, {"drawn", a.Draws}, {"lost", a.Losses}} {
			values = append(values, tensorboard.Scalar{Tag: "eval/" + v.tag, Value: float64(v.n) / float64(a.Games)})
		}
		values = append(values, tensorboard.Scalar{Tag: "eval/legal", Value: a.LegalRate()})
	}
	return b.w.Scalars(r.Step, values...)
}

func (b *board) samples(all []Sample) error {
	if b == nil {
		return nil
	}
	for i, s := range all {
		// As code, so that what a model says is no Markdown.
		code := "    " + strings.ReplaceAll(s.Prompt+s.Text, "\n", "\n    ")
		if err := b.w.Text(s.Step, fmt.Sprintf("samples/%d", i), code); err != nil {
			return err
		}
	}
	return nil
}

func byTag(values []tensorboard.Scalar) {
	slices.SortFunc(values, func(a, b tensorboard.Scalar) int { return cmp.Compare(a.Tag, b.Tag) })
}
