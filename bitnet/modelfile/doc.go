// Package modelfile reads model folders in the form of transformers: config.json,
// and weights in safetensors files, as float masters or packed ternary codes. It
// finds the folder that a user means by a run's name, a path or a name on the
// hub. It needs no adapter: Weights.Forward computes logits on the CPU, and
// kernels and exporters are compared with it.
//
// Nothing in a file is believed: sizes, offsets and shapes are checked before
// memory is taken for them.
package modelfile
