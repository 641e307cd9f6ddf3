// Package cluster joins the processes that mpirun, mpiexec or srun started into a
// Group that trains one run.
//
//	group, err := cluster.Join()                  // nil for a process alone
//	sum := group.Sum(gradients, cluster.Float32)  // starts; Wait ends it
//	flags, err := group.Agree(stop)               // the highest of all ranks
//	err = group.Broadcast(weights)                // those of rank 0
//	group.Leave(err)
//
// Nothing above this package knows MPI, and of MPI it uses only messages: sums are
// made here, in the order of the ranks, so that a run with the same ranks gives the
// same bits with every MPI and every network.
//
// MPI is not thread-safe in every installation, so one goroutine on a locked
// thread owns it and does what the others post. While no operation is under
// way it exchanges signs of life: a rank that is killed, that hangs, or that the
// network no longer reaches ends the run of all within a minute, with one line
// that says which.
//
// # Files
//
//	group.go        Group: what a rank can ask for
//	operation.go    sum, gather, broadcast as stages of messages
//	engine.go       the goroutine that runs operations
//	watch.go        signs of life, and what follows where they stop
//	format.go       float32 and bfloat16, and their sums
//	launch.go       what launchers tell in the environment
//	transport.go    what is needed of MPI; mpi.c, mpi_cgo.go its two ABIs
package cluster
