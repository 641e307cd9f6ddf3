// Package bitnet trains BitNet b1.58 language models (ternary weights, int8
// activations) on any GPU, and uses them. It is the face of the project as a Go
// library; the program bitnet is built on the same packages.
//
//	config, err := bitnet.Preset("arithmetic")
//	run, err := bitnet.Train(ctx, config, bitnet.TrainOptions{})
//	score, err := bitnet.Evaluate(ctx, run, bitnet.EvalOptions{})
//
//	model, err := bitnet.Open(ctx, run, bitnet.OpenOptions{})
//	text, err := model.Generate(ctx, "25 + 17 = ", bitnet.GenerateOptions{})
//
// # The house
//
// The way of the data is: text, tokens, batch, graph, loss, gradients, optimizer,
// checkpoint, and a model that other programs load. Each package below knows one
// part of it, and imports only those that stand below it here:
//
//	cmd/bitnet        commands: flags and printing
//	cmd/web           the browser version: a program in a worker, and its page
//	bitnet            this package
//	  serve, dash, web    servers: OpenAI's API and a chat page; the live page of runs; the browser version
//	  doctor, cost, bench    what a machine can do, and what a run takes
//	  share, card     models to and from the hub; the model card
//	  export          models for transformers, llama.cpp and Ollama
//	  sweep           many settings of an experiment, ranked
//	  swarm           training with other machines over slow links, on NATS
//	  train           configuration, presets, the training loop
//	  cluster         several processes that train one run: MPI
//	  eval            validation loss, examinations, public test sets
//	  task            what a model learns: text, conversations, sums, a game
//	  infer           generation, sampling, conversations, log-probabilities
//	  model           the network, and its parameters on a device
//	  modelfile       a model directory on disk; the reference forward pass
//	  page            what the pages for browsers share: modules, styles, the guard
//	  runs            a run directory: its files, their writer and readers
//	graph             tensors, operations, gradients, a step as programs
//	  tune            choosing variants of kernels, peaks, checks of units
//	shaders           WGSL kernels, and the Go structs that specialise them
//	gpu               adapters, buffers, kernels, programs; drivers behind it
//	data              batches, text files, tokenizers, token shards, the hub
//
// docs/architecture.md follows one batch through all of them; docs/contributing.md
// says which places an addition touches.
package bitnet
