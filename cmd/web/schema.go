package main

import (
	"context"
	"fmt"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/runs"
	"bitnet/bitnet/task/catalog"
	"bitnet/bitnet/train"
)

// experiments are the presets of the page, with what a browser changes: curves that
// move soon, and a checkpoint often enough that a reload costs little.
var experiments = []struct {
	name, about string
	set         []string // changes of the preset
	show        []string // keys that a visitor would change
}{
	{"simple", "sums, by a tiny model: a minute on any GPU",
		[]string{"log_interval=5", "eval_interval=50", "sample_interval=50"}, nil},
	{"tictactoe", "the game, learned from perfect players",
		[]string{"log_interval=10", "eval_interval=250", "sample_interval=250"}, nil},
	{"arithmetic", "sums, differences, products and quotients, by 3.2 million parameters",
		[]string{"log_interval=10", "eval_interval=250", "sample_interval=250"}, nil},
	{"text", "your own text: the tokenizer is trained first, in this page",
		[]string{"vocab_size=512", "hidden_size=128", "intermediate_size=384", "num_hidden_layers=4", "num_attention_heads=4", "num_key_value_heads=2",
			"steps=1000", "batch_size=16", "seq_len=128", "max_position_embeddings=256", "held_out=0.05", "log_interval=5", "eval_interval=100", "sample_interval=50", "eval_samples=32"},
		[]string{"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "seq_len"}},
}

// settings describes the keys that the page shows.
var settings = map[string]Setting{
	"steps":             {Key: "steps", Title: "steps", Kind: "whole"},
	"batch_size":        {Key: "batch_size", Title: "sequences per step", Kind: "whole"},
	"learning_rate":     {Key: "learning_rate", Title: "learning rate", Kind: "number"},
	"seed":              {Key: "seed", Title: "seed", Kind: "whole"},
	"seq_len":           {Key: "seq_len", Title: "tokens per sequence", Kind: "whole"},
	"vocab_size":        {Key: "vocab_size", Title: "tokens of the tokenizer", Kind: "whole"},
	"hidden_size":       {Key: "hidden_size", Title: "width", Kind: "whole"},
	"intermediate_size": {Key: "intermediate_size", Title: "width of the feed-forward", Kind: "whole"},
	"num_hidden_layers": {Key: "num_hidden_layers", Title: "layers", Kind: "whole"},
}

var common = []string{"steps", "batch_size", "learning_rate", "seed"}

// experiment is the configuration of an experiment in a browser.
func experiment(name string) (*train.Config, error) {
	for _, e := range experiments {
		if e.name != name {
			continue
		}
		c, err := train.Preset(e.name)
		if err != nil {
			return nil, err
		}
		for _, s := range append([]string{"checkpoint_minutes=0.25", "keep_checkpoints=1"}, e.set...) {
			if err := c.Set(s); err != nil {
				return nil, err
			}
		}
		return c, nil
	}
	return nil, fmt.Errorf("there is no experiment %q here", name)
}

func describeSchema(context.Context, *call) (any, error) {
	s := Schema{Sampling: infer.DefaultSampling()}
	for _, k := range runs.Keys() {
		m := k.Metric()
		s.Metrics = append(s.Metrics, Metric{k.String(), m.Title, m.Unit, m.Format, m.Card, m.Device})
	}
	for _, p := range runs.Charts() {
		c := Chart{Title: p.Title, Unit: p.Keys[0].Metric().Unit, Format: p.Keys[0].Metric().Format, FromZero: p.FromZero, Smooth: p.Smooth, Score: p.Score}
		for _, k := range p.Keys {
			curve := Curve{Key: k.String(), Title: k.Metric().Title}
			if spread := k.Metric().Spread; spread != 0 {
				curve.Spread = spread.String()
			}
			c.Curves = append(c.Curves, curve)
		}
		s.Charts = append(s.Charts, c)
	}
	for _, e := range experiments {
		c, err := experiment(e.name)
		if err != nil {
			return nil, err
		}
		x := Experiment{Name: e.name, About: e.about, Parameters: parameters(c.Model)}
		if k, _, err := catalog.Find(c.Data.Source); err != nil || k.Prepared { // "text:" lacks its argument
			x.NeedsText = true
		}
		for _, key := range append(append([]string{}, common...), e.show...) {
			v, err := c.Get(key)
			if err != nil {
				return nil, err
			}
			setting := settings[key]
			setting.Default = v
			x.Settings = append(x.Settings, setting)
		}
		s.Experiments = append(s.Experiments, x)
	}
	return s, nil
}
