// Package bench measures this program on an adapter: a training step, its
// kernels, generation, and the most that the adapter can do. Each measurement is
// a Result, which can be stored and compared with a later one.
package bench
