package cluster

// transport carries messages between ranks. All of it is called by one goroutine
// that stays on one thread. MPI is behind it, and in tests a network in memory.
type transport interface {
	rank() int
	size() int
	name() string
	// send and receive start a message. Messages of one tag between two ranks
	// arrive in order. data belongs to the transport until the request is done.
	send(to, tag int, data []byte) (request, error)
	receive(from, tag int, data []byte) (request, error)
	// abort ends all processes of the launcher's job.
	abort(code int)
	// finalize leaves; every rank does it, with no message under way.
	finalize() error
}

// request is a message under way.
type request interface {
	// done reports whether it is complete. Messages only move while it is called.
	done() (bool, error)
}
