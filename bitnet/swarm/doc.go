// Package swarm trains one model on machines that only slow links connect. Each
// worker trains some steps alone and then sends the change of its weights; a
// meeting point applies the mean change with an outer optimizer and gives the
// result to all (DiLoCo: Douillard et al. 2023, arXiv 2311.08105). Messages travel
// over NATS, which the meeting point embeds, or over a NATS server of the user's.
//
// # One round
//
// All workers begin with the same weights w. The round ends when the fastest one
// has done its H local steps; the others send what they have by then, so that
// machines of different speed do different numbers of steps in the same time.
//
//	change of worker i   d_i = w - w_i, in int8 by block with error feedback
//	mean                 g = sum(n_i d_i) / sum(n_i), n_i its local steps
//	outer step           v = 0.9 v + g;  u = 0.7 (g + 0.9 v)
//	new weights          w = w - Q(u + rest), Q again int8 with error feedback
//
// Everybody applies the same Q(u + rest), so that weights are equal to the bit on
// all machines and a round costs about one byte per parameter in each direction.
//
// # Files
//
//	message.go   what is sent: signed requests, answers, their bounds
//	blocks.go    changes of weights in int8; outer.go the outer optimizer
//	plan.go      configuration and tokenizer of a swarm
//	address.go   nats://HOST:PORT/NAME#FINGERPRINT; tls.go certificates
//	meeting.go   the meeting point: who is there, what it answers
//	round.go     how a round ends; upload.go what workers send in pieces
//	parts.go     which worker trains on which samples
//	store.go     what survives a restart, in JetStream; record.go its form
//	serve.go     the embedded NATS server
//	client.go    requests of workers and of bitnet swarm status
//	worker.go    the worker's side of a round; key.go its identity
package swarm
