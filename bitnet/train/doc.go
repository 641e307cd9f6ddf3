// Package train trains models.
//
// A Config is everything that decides a run. Prepare checks it, finds what the
// run starts from and opens the data; Job.Begin plans the step once, compiles
// it on a device and makes the run directory; Trainer.Train trains:
//
//	job, err := train.Prepare(ctx, config, train.Start{RunsDir: "runs"}, events)
//	trainer, err := job.Begin(ctx, device)
//	err = trainer.Train(ctx)
//
// A batch goes one way: from the task's source to the device, through the
// program of a step, into the weights. The loop allocates nothing and reads
// nothing back between the steps that it logs.
//
// # Files
//
//	config.go, set.go   Config, its defaults and checks; key=value changes
//	presets.go          the experiments that come with the program
//	schedule.go         learning rate and weight decay over the steps
//	job.go              Prepare: configuration, checkpoint and data of a run
//	trainer.go          Trainer: how one is made, and one step
//	loop.go             the loop: what is due after each step
//	report.go           what is measured, evaluated, sampled and logged
//	anomaly.go          what is wrong with a step; respond.go what is done about it
//	peers.go            a run that other machines train too, over slow links
//	checkpoint.go       saving and restoring; best.go the best checkpoint, early stopping
//	variants.go         which variants of kernels a run uses
package train
