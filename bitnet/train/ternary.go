package train

import (
	"fmt"

	"bitnet/bitnet/modelfile"
	"bitnet/graph"
)

// Projections names the ternary projections, in the order of the network.
func (t *Trainer) Projections() []string {
	var names []string
	for _, p := range t.model.Params.All() {
		if p.IsTernary() {
			for _, part := range p.Parts {
				names = append(names, part.Name)
			}
		}
	}
	return names
}

// Ternary reads the masters of a projection from the device and rounds them as the
// forward pass does. It waits for the device, so call it only where an event is
// handled.
func (t *Trainer) Ternary(projection string) (*modelfile.TernaryMatrix, error) {
	for _, p := range t.model.Params.All() {
		first := 0
		for _, part := range p.Parts {
			if p.IsTernary() && part.Name == projection {
				values := make([]float32, part.Rows*p.Cols)
				if err := p.ReadRows(graph.Master, first, values); err != nil {
					return nil, err
				}
				return modelfile.Quantize(values, part.Rows, p.Cols), nil
			}
			first += part.Rows
		}
	}
	return nil, fmt.Errorf("the model has no projection %s", projection)
}
