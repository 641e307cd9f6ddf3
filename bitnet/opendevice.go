package bitnet

import (
	"fmt"

	"bitnet/gpu"
	"bitnet/graph"
)

// OpenDevice opens an adapter. On a GPU it first multiplies a little on matrix
// units and by packed dot products, and leaves out, with a line for note, what
// computes anything else than plain float32 does.
func OpenDevice(a gpu.Adapter, note func(string)) (*gpu.Device, error) {
	for {
		dev, err := a.Open()
		if err != nil || a.Kind == gpu.CPU {
			return dev, err
		}
		faults, err := graph.CheckUnits(dev)
		if err != nil {
			dev.Close()
			return nil, fmt.Errorf("checking what %s computes: %w", a.Name, err)
		}
		if len(faults) == 0 {
			return dev, nil
		}
		dev.Close()
		for _, f := range faults {
			note(fmt.Sprintf("%s of %s are not used, because they compute something else: %s", featureNames[f.Feature], a.Name, f.What))
			a = a.Without(f.Feature)
		}
	}
}

var featureNames = map[string]string{gpu.SubgroupMatrix: "the matrix units", gpu.PackedDot: "the packed dot products"}
