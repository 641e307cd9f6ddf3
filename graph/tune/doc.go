// Package tune measures adapters and kernels, and chooses the variants of matrix
// products that are fastest on an adapter.
//
//	dev, err := tune.OpenDevice(adapter, note)          // checks its matrix units
//	found, err := tune.Measure(ctx, dev, plan.Products(), tune.Options{})
//	err = plan.Use(found.Variants())                    // before plan.Compile
//
// Files:
//
//	tuning.go      Tuning: what was chosen, and how fast it is
//	tune.go        Measure: measuring variants and choosing
//	scratch.go     made-up operands of a product, and how results may differ
//	file.go        tunings on disk
//	opendevice.go  opening an adapter without the features that fail
//	check_units.go CheckUnits: do matrix units and packed dot products compute right?
//	peak.go        MeasurePeak: arithmetic, bandwidth and latency of an adapter
//	kernels.go     Kernels: what each kernel of a program costs
//	stopwatch.go   timing dispatches
package tune
