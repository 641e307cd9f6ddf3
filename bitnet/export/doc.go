// Package export writes a trained model in the forms of other programs:
// transformers' folders (hf, packed) and llama.cpp's GGUF files. It can check
// what it wrote, value by value, against the model it read.
package export
