package tune

import (
	"fmt"

	"bitnet/gpu"
)

// OpenDevice opens an adapter. On a GPU it first checks matrix units and packed
// dot products with a few small products. It opens the adapter without those that
// compute something else than plain float32 does, and reports each to note.
func OpenDevice(a gpu.Adapter, note func(string)) (*gpu.Device, error) {
	for {
		dev, err := a.Open()
		if err != nil || a.Kind == gpu.CPU {
			return dev, err
		}
		faults, err := CheckUnits(dev)
		if err != nil {
			dev.Close()
			return nil, fmt.Errorf("checking what %s computes: %w", a.Name, err)
		}
		if len(faults) == 0 {
			return dev, nil
		}
		dev.Close()
		for _, f := range faults {
			note(fmt.Sprintf("%s of %s are not used, because they compute wrong results: %s", featureNames[f.Feature], a.Name, f.What))
			a = a.Without(f.Feature)
		}
	}
}

var featureNames = map[string]string{gpu.SubgroupMatrix: "the matrix units", gpu.PackedDot: "the packed dot products"}
