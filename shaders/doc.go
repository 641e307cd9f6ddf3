// Package shaders holds what all families of WGSL kernels share. A family is a
// package below it: WGSL files, and the Go structs that specialise them.
//
//	matmul     matrix products of f32, int8 and ternary operands, on every kind of unit
//	attention  causal grouped-query attention, its gradient, and attention over a cache
//	norm       RMSNorm with its gradient, alone or fused with a gated activation and int8 quantisation
//	quantize   int8 codes of activations and gradients by row or by column, and rounding to float16
//	ternary    weights to ternary codes and scales
//	embedding  rows of a table by token id, and the gradient of the table
//	rope       rotary position embedding
//	loss       softmax cross-entropy, the divergence from a teacher, and the loss of a step
//	optimizer  gradient norm, clipping, AdamW and Muon
//	rows       sums over rows, a choice of rows, and columns of a wider matrix
//	probe      how fast an adapter computes and moves memory
//
// # How a kernel is specialised
//
// A kernel is a WGSL file that says at its top what it computes. Shapes are
// constants of the source, so that the compiler can unroll and fold. What WGSL
// cannot say by itself (the type of an element, a fused step, a copy for each
// register) is a text/template action, and there is no other way: Go hands the
// template numbers, booleans and names of types, and never WGSL.
//
//   - {{read "x: array<f32>"}} and {{write "y: array<%s>" .Four}} declare the next
//     binding. They are the one place that states it: Source.Names and Source.Writes
//     come from them.
//   - {{template "row" .}} inserts a part that several kernels use: from the family's
//     own files, or from the shared files that the family names in NewFamily
//     (index.wgsl, lanes.wgsl, fours.wgsl, codes.wgsl, uniform.wgsl).
//   - {{range $i := seq 4}} writes a statement several times, for values that must stay
//     in registers: lavapipe does not unroll loops over arrays, and a GPU's compiler keeps
//     an array in memory if it does not. Everything else is a WGSL loop, const or function.
//   - add, sub, mul, div, mod compute with integers; f32 writes a float so that WGSL
//     reads the same one; component writes ".x", or nothing for a scalar; digits numbers
//     the uniform function of uniform.wgsl that a limit needs; args and list pass several
//     values to a template.
//
// The package knows WGSL and no buffers: a Source names its bindings in order and
// says how many workgroups to start. "bitnet shader" prints what is compiled, and
// testdata holds a few small kernels as they are rendered.
package shaders
