package train

import (
	"fmt"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/model"
	"bitnet/bitnet/task"
	"bitnet/bitnet/task/catalog"
	"bitnet/graph"
)

// Beside lists what a run holds on the device beside its steps, each from the first time
// on: for the ternary shares in its metrics, the validation loss, samples, and the
// examination of its task. m and plan are those of Plan.
func Beside(c *Config, m *model.Model, plan *graph.Plan) ([]graph.Memory, error) {
	s, err := c.shareOf(1)
	if err != nil {
		return nil, err
	}
	kind, err := catalog.Named(c.Data.Source)
	if err != nil {
		return nil, err
	}
	var held task.Held
	if kind.Holds != nil {
		held = kind.Holds(c.Train.SeqLen)
	}
	if c.Output.Prompts != nil {
		held.Prompts = len(c.Output.Prompts)
	}
	var out []graph.Memory
	if !m.Adapted() {
		out = append(out, graph.Memory{Arena: "ternary shares", Bytes: m.Params.ShareBytes()})
	}
	loss, err := infer.ScorerBytes(m, s.Rows, c.Train.SeqLen, catalog.Packed(c.Data.Source), plan)
	if err != nil {
		return nil, fmt.Errorf("planning the validation loss: %w", err)
	}
	out = append(out, graph.Memory{Arena: "validation loss", Bytes: loss})
	for _, g := range []struct {
		name      string
		n, length int
	}{
		{"samples", held.Prompts, c.Train.SeqLen},
		{"examination", held.Examined, min(held.Length, c.Model.MaxPositions)},
	} {
		if g.n == 0 {
			continue
		}
		bytes, err := infer.GeneratorBytes(m, g.n, g.length)
		if err != nil {
			return nil, fmt.Errorf("planning the %s: %w", g.name, err)
		}
		out = append(out, graph.Memory{Arena: g.name, Bytes: bytes})
	}
	return out, nil
}
