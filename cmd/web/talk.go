package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/task/tictactoe"
	"bitnet/gpu"
)

// opened is the model that play and talk use.
type opened struct {
	run, dir string
	*infer.Model
	session *infer.Session     // nil until it is needed
	thinker *tictactoe.Thinker // likewise
}

func (o *opened) release() {
	if o.session != nil {
		o.session.Release()
	}
	if o.thinker != nil {
		o.thinker.Release()
	}
	o.Model.Model.Release()
}

// shippedName is the folder of the model that comes with the page.
func (w *worker) shippedDir() (string, error) {
	dir := filepath.Join(w.root, "shipped", "tictactoe")
	if _, err := os.Stat(filepath.Join(dir, "config.json")); err == nil {
		return dir, nil
	}
	// A download that was cut short leaves no folder of that name.
	tmp := dir + ".tmp"
	if err := os.RemoveAll(tmp); err != nil {
		return "", err
	}
	if err := w.host.shipped(tmp); err != nil {
		return "", err
	}
	return dir, os.Rename(tmp, dir)
}

// model opens the model of a run, or gives the one that is open.
func (w *worker) model(ctx context.Context, dev *gpu.Device, run string, note func(string)) (*opened, error) {
	dir, err := "", error(nil)
	if run == "" {
		dir, err = w.shippedDir()
	} else {
		dir, err = w.checkpoint(run)
	}
	if err != nil {
		return nil, err
	}
	if o := w.use.model; o != nil {
		if o.dir == dir {
			return o, nil
		}
		o.release()
		w.use.model = nil
	}
	m, err := infer.Open(ctx, dev, w.runs(), dir, note)
	if err != nil {
		return nil, err
	}
	w.use.model = &opened{run: run, dir: dir, Model: m}
	return w.use.model, nil
}

// withModel does something with a run's model.
func (c *call) withModel(ctx context.Context, run string, again func() bool, do func(*opened) error) error {
	return c.onDevice(c.note, again, func(dev *gpu.Device) error {
		o, err := c.model(ctx, dev, run, c.note)
		if err != nil {
			return err
		}
		return do(o)
	})
}

func always() bool { return true }

// longestText is the most tokens of a conversation.
const longestText = 2048

func (o *opened) ready() (err error) {
	if o.session == nil {
		o.session, err = o.NewSession(min(o.Config.MaxPositions, longestText))
	}
	return err
}

func openModel(ctx context.Context, c *call) (any, error) {
	var out Model
	err := c.withModel(ctx, c.Run, always, func(o *opened) error {
		if err := o.ready(); err != nil {
			return err
		}
		format, err := infer.FindChatFormat("", o.Tokenizer)
		if err != nil {
			return err
		}
		out = Model{
			Run: c.Run, Parameters: o.Params.Total(), Context: o.session.Context(), Vocab: o.Config.VocabSize,
			Chat: format.Name, Prompt: c.firstPrompt(o), Sampling: infer.DefaultSampling(),
		}
		return nil
	})
	return out, err
}

// firstPrompt is what a visitor may begin with: the first prompt of the run's
// samples.
func (c *call) firstPrompt(o *opened) string {
	config, _, err := c.configOf(c.Run)
	if err != nil {
		return ""
	}
	for _, p := range config.Output.Prompts {
		if p != "" {
			return p
		}
	}
	return ""
}

func talk(ctx context.Context, c *call) (any, error) {
	var t Talk
	if err := c.decode(&t); err != nil {
		return nil, err
	}
	if len(t.Messages) == 0 {
		return nil, errors.New("write something to begin with")
	}
	var out Talked
	spoke := false
	err := c.withModel(ctx, t.Run, func() bool { return !spoke }, func(o *opened) error {
		if err := o.ready(); err != nil {
			return err
		}
		format, err := infer.FindChatFormat("", o.Tokenizer)
		if err != nil {
			return err
		}
		room := 1
		if t.Tokens > 0 {
			room = min(t.Tokens, o.session.Context()/2)
		}
		ids, kept, err := format.Fit(o.Tokenizer, t.Messages, o.session.Context(), room)
		if err != nil {
			return err
		}
		sampling := infer.DefaultSampling()
		if t.Sampling != nil {
			sampling = *t.Sampling
		}
		r := infer.Request{Tokens: ids, Limit: t.Tokens, Sampling: sampling, Stop: append(append([]string{}, format.Stop...), t.Stop...)}
		done, err := o.session.Complete(ctx, r, func(piece string) error {
			spoke = true
			c.event("text", map[string]any{"text": piece})
			return nil
		})
		out = Talked{
			Text: done.Text, Reason: done.Reason, Tokens: len(done.Tokens), PromptTokens: done.PromptTokens,
			PromptMS: 1e3 * done.PromptTime.Seconds(), TokensPerSec: done.TokensPerSecond(), Forgotten: len(t.Messages) - len(kept),
		}
		if err != nil && errors.Is(err, context.Canceled) {
			out.Reason, err = "stopped", nil
		}
		return err
	})
	return out, err
}

func think(ctx context.Context, c *call) (any, error) {
	var b tictactoe.Board
	for _, m := range c.Moves {
		if err := b.Play(int(m - '0')); err != nil {
			return nil, fmt.Errorf("the moves %.20q are no game: %w", c.Moves, err)
		}
	}
	out := Thought{Moves: b.Text(), Over: b.Over(), Legal: b.Legal(), Perfect: []int{}}
	if out.Legal == nil {
		out.Legal = []int{}
	}
	for cell := 1; cell <= 9; cell++ {
		mark := byte('.')
		if m := b.Mark(cell); m != 0 {
			mark = m
		}
		out.Marks += string(mark)
	}
	if w := b.Winner(); w != 0 {
		out.Winner = string(w)
	}
	if b.Over() {
		return out, nil
	}
	out.Turn, out.Perfect = string(b.Turn()), tictactoe.PerfectMoves(b)
	err := c.withModel(ctx, c.Run, always, func(o *opened) (err error) {
		if o.thinker == nil {
			if o.thinker, err = tictactoe.NewThinker(o.Model); err != nil {
				return err
			}
		}
		began := time.Now()
		t, err := o.thinker.Think(ctx, b)
		out.MS = 1e3 * time.Since(began).Seconds()
		out.Squares, out.Choice = t.Cells, t.Choice
		return err
	})
	return out, err
}
