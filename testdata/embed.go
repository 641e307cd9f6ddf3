// Package testdata holds files that the program brings along, because bitnet bench
// report compares a card with them: a model with the losses of its training in
// PyTorch, and the script that measures PyTorch on the same card.
package testdata

import "embed"

// Parity is a model of two layers, tokens, and PyTorch's losses over them.
//
//go:embed golden/train/init golden/train/tokens.u16 golden/train/losses.jsonl
var Parity embed.FS

// BenchTorch is bench_torch.py.
//
//go:embed bench_torch.py
var BenchTorch []byte
