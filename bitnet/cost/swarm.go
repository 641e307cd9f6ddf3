package cost

import "math"

// Swarm is what training over slow links brings (docs/swarm.md).
type Swarm struct {
	Workers  int     `json:"workers"`
	Local    int     `json:"local_steps"`      // of a round
	Round    float64 `json:"round_seconds"`    // training and exchange
	Exchange float64 `json:"exchange_seconds"` // of it
	Bytes    float64 `json:"bytes_per_round"`  // that a worker sends, and again receives
	SpeedUp  float64 `json:"speed_up"`         // against one worker, in tokens per second
	PerToken float64 `json:"bytes_per_token"`  // sent by all workers, for a token that one of them trains on; 0 if unknown
}

// swarmScale is how many parameters share a float32 scale in int8.
const swarmScale = 256

// OfSwarm estimates a swarm of equal workers and a meeting point, each on a link of
// so many bytes per second in each direction. A step takes stepSeconds and reads
// stepTokens on one worker.
//
//	bytes    = N + 4 ceil(N / 256)
//	round    = H t + 2 W bytes / L
//	speed-up = W H t / round
//
// The link of the meeting point carries what all workers send, and then what all
// receive: that is the narrow place.
func OfSwarm(params int64, workers, local int, stepSeconds float64, stepTokens int64, link float64) Swarm {
	s := Swarm{Workers: workers, Local: local}
	s.Bytes = float64(params) + 4*math.Ceil(float64(params)/swarmScale)
	s.Exchange = 2 * float64(workers) * s.Bytes / link
	train := float64(local) * stepSeconds
	s.Round = train + s.Exchange
	s.SpeedUp = float64(workers) * train / s.Round
	if stepTokens > 0 {
		s.PerToken = s.Bytes / (float64(local) * float64(stepTokens))
	}
	return s
}
