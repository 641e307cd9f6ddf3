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
		"step": i.Step, "steps": i.Config.Train.Steps, runs.TokensSeen.String(): i.TokensSeen,
		"parameters": i.Parameters, "device": i.Device, "changed": i.Changed.UTC().Format(time.RFC3339),
	}
	if !i.Started.IsZero() {
		m["started"] = i.Started.UTC().Format(time.RFC3339)
	}
	if i.Swarm != nil {
		m["swarm"] = i.Swarm
	}
	if i.CheckpointStep >= 0 {
		m["checkpoint"], m["checkpoint_step"] = i.Checkpoint, i.CheckpointStep
	}
	if i.Logged {
		m[runs.Loss.String()] = finite(i.Last.Get(runs.LossMean))
	}
	return m
}

// statusJSON is infoJSON and what else status shows.
func statusJSON(s *runs.Status) map[string]any {
	m := infoJSON(&s.Info)
	if s.Logged {
		metrics := map[string]any{"step": s.Last.Step, "ternary": s.Ternary}
		for _, k := range runs.Keys() {
			if s.Last.Has(k) {
				metrics[k.String()] = finite(s.Last.Get(k))
			}
			if s.Medians.Has(k) {
				m[k.String()+"_median"] = finite(s.Medians.Get(k))
			}
		}
		m["metrics"] = metrics
		m["seconds_left"] = s.Left.Seconds()
	}
	if t := s.Trend; t != nil {
		m["trend"] = map[string]any{"from_step": t.FromStep, "to_step": t.ToStep, "from": t.From, "to": t.To, "clear": t.Clear}
	}
	if s.Eval != nil {
		m["eval"], m["best_eval"] = s.Eval, s.Best
	}
	m["samples"], m["anomalies"], m["anomaly_count"] = nonNil(s.Samples), nonNil(s.Anomalies), s.AnomalyCount
	if next := nextCommand(s); next != "" {
		m["next"] = next
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
