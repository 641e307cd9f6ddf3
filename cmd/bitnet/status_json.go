package main

import (
	"math"
	"time"

	"bitnet/bitnet/runs"
)

// infoJSON is a run for programs. Numbers that are not finite are null, times
// RFC 3339 and absent if unknown.
func infoJSON(i *runs.Info) map[string]any {
	m := map[string]any{
		"run": i.Name, "dir": i.Dir, "experiment": i.Config.Name, "state": i.State, "why": i.Why,
		"step": i.Step, "steps": i.Config.Train.Steps, "tokens_seen": i.TokensSeen,
		"parameters": i.Parameters, "device": i.Device, "changed": i.Changed.UTC().Format(time.RFC3339),
	}
	if !i.Started.IsZero() {
		m["started"] = i.Started.UTC().Format(time.RFC3339)
	}
	if i.CheckpointStep >= 0 {
		m["checkpoint"], m["checkpoint_step"] = i.Checkpoint, i.CheckpointStep
	}
	if i.Logged {
		m["loss"] = finite(i.Last.LossMean)
	}
	return m
}

// statusJSON is infoJSON and what else status shows.
func statusJSON(s *runs.Status) map[string]any {
	m := infoJSON(&s.Info)
	if s.Logged {
		l := &s.Last
		m["metrics"] = map[string]any{
			"step": l.Step, "loss": finite(l.Loss), "loss_mean": finite(l.LossMean), "lr": finite(l.LR), "wd": finite(l.WeightDecay),
			"grad_norm": finite(l.GradNorm), "step_time_ms": finite(l.StepTimeMS), "tokens_per_sec": finite(l.TokensPerSec),
			"tokens_seen": l.TokensSeen, "device_memory_bytes": l.Memory, "ternary": s.Ternary,
		}
		m["step_time_ms_median"], m["tokens_per_sec_median"] = s.StepMS, finite(s.Speed)
		m["seconds_left"] = s.Left.Seconds()
	}
	if t := s.Trend; t != nil {
		m["trend"] = map[string]any{"from_step": t.FromStep, "to_step": t.ToStep, "from": t.From, "to": t.To, "clear": t.Clear}
	}
	if s.Eval != nil {
		m["eval"], m["best_eval"] = evalJSON(s.Eval), evalJSON(s.Best)
	}
	m["samples"], m["anomalies"], m["anomaly_count"] = nonNil(s.Samples), nonNil(s.Anomalies), s.AnomalyCount
	if next := nextCommand(s); next != "" {
		m["next"] = next
	}
	return m
}

func evalJSON(e *runs.Eval) map[string]any {
	m := map[string]any{"step": e.Step, "loss": finite(e.Loss), "perplexity": finite(e.Perplexity), "tokens": e.Tokens}
	if e.ExactMatch != nil {
		m["exact_match"], m["exact_match_by_operator"], m["problems"] = finite(*e.ExactMatch), e.Operators, e.Problems
	}
	return m
}

// nonNil makes JSON of an empty list [] and not null.
func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// finite is v, or nil where JSON has no form for it.
func finite(v float64) any {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return v
}
