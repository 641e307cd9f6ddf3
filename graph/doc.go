// Package graph knows tensors, operations and their gradients. A model is
// declared once as a Graph over Params; planning derives the backward pass and
// lays all tensors into a few large buffers by lifetime; compiling gives
// programs that run again and again without allocating anything.
//
//	ps := graph.NewParams(graph.TargetOf(adapter), graph.LimitsOf(adapter))
//	table := ps.Matrix("embedding", vocab, hidden) // declare the parameters
//	norm := ps.Vector("norm", hidden)
//	ps.Layout(graph.ForTraining) // places in memory, no memory yet
//
//	g := graph.New(ps, batch, seq) // declare the operations
//	g.Loss(g.RMSNorm(g.Embedding(table), norm, 1e-5), table)
//
//	plan, err := g.PlanTraining(graph.AdamW{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8})
//	plan.Use(variants) // of the matrix products, chosen by package tune; may be left out
//
//	ps.Allocate(device)
//	program, err := plan.Compile(device)
//	program.Load(tokens, targets, vocab)
//	ps.SetStep(graph.StepValues{LearningRate: 1e-3})
//	program.Step()
//
// All tensors are matrices: activations are [tokens, features], where tokens
// run over the sequences of a batch one after another.
//
// # A training step
//
// A step is two programs: MicroBatch runs forward and backward of the loaded
// micro-batch and adds to the gradients; Update runs the optimizer on the
// gradients, sets them to zero, and quantises the new weights. Step is the last
// micro-batch and the update in one submission. Machines that share a step
// exchange gradients between the two: Params.ReadFlat and Params.WriteFlat move
// ranges of them, Plan.Gradients lists the ranges in the order in which they
// become final, and Program.Segments cuts the micro-batch into pieces, so that
// the first ranges can leave while the rest is computed.
//
// # Adding an operation
//
// An operation is one file op_NAME.go: a method of Graph that checks the shapes,
// declares the result and records two functions with Graph.add, which emit the
// kernels of the forward and of the backward pass. Data that the host writes is
// declared with Graph.input, and a table that never changes with
// Graph.constant. check_ops.go has the rows of the gradient test, with a
// reference in float64; Checks runs them on a user's card, and golden_test.go
// compares with PyTorch.
//
// # Files
//
//	graph.go             Graph: inputs, constants, the list of operations
//	op_*.go, cache.go    one operation each; attention over cached keys and values
//	emit.go              operations to kernel calls, gradients to tensors
//	product.go           matrix products and their variants
//	precision.go         float32, mixed, int8 gradients
//	tensor.go, arena.go  tensors, and their places in memory
//	plan.go              Plan: all calls of a step and the life of every tensor
//	program.go           Program: a plan on a device
//	gradients.go         which gradients are final when; segments of a micro-batch
//	params.go            Params: declaring, reading and writing parameters
//	storage.go           what is stored of each parameter, and where
//	blocks.go            parameters that are larger than what an adapter binds at once
//	short.go             the form in int8 of a large matrix, for the head of inference
//	optimizer.go         the gradient norm, clipping and AdamW; values and results of a step
//	check*.go            Check: kernels against float64, for the tests and for bitnet bench report
//	optimizer_muon.go    Muon
//	quantize_weights.go  the ternary form of the weights; shares.go counts it
//	adapter.go           what graphs must know of an adapter
//	kernel.go            compiling kernels; what a call moves in bytes
//
// Package graph/tune measures adapters and kernels and chooses variants.
package graph
