// Package report finds out everything about one card in a few minutes: whether the
// kernels compute right on it, what it can do, and how fast training is, in every
// precision, through every backend, and in PyTorch.
//
// Each part is measured in a process of its own (Serve), because drivers crash,
// hang and lose devices: Make writes down how it ended and goes on. After every
// part the report on disk is whole, so that a report that is cut off still holds
// what was found.
//
// Files:
//
//	report.go    Report: the JSON form, and what can be compared
//	plan.go      which parts there are, in what order, with what share of the time
//	make.go      Make: runs the parts one after another and writes the report
//	process.go   a part in a process of its own
//	serve.go     Serve: the other side of process.go
//	check.go     kernels against float64; training against PyTorch's losses
//	speed.go     peaks, tuning, kernels, steps, generation
//	torch.go     PyTorch on the same card
//	system.go    the machine around the card
//	markdown.go  report.md
package report
