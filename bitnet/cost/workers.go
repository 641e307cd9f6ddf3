package cost

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"bitnet/bitnet/cluster"
)

// Workers are machines that share a run.
type Workers struct {
	N      int
	Link   float64        // bits per second that each can send, and receive at the same time
	Format cluster.Format // of gradients on the way
	Copy   float64        // bytes per second that each copies and adds in its memory; 0 is CopyRate
}

// Scaling is what a way to share a run brings.
type Scaling struct {
	Way      string  `json:"way"`
	Device   string  `json:"device"`
	Bytes    float64 `json:"bytes_per_step"`   // that each worker sends, and receives
	Exchange float64 `json:"exchange_seconds"` // per step, if nothing is computed meanwhile
	// SameBatch is how many times faster a step is where the workers share its
	// sequences, LargerBatch how many times more sequences pass where each has as many
	// as one alone.
	SameBatch   float64 `json:"speedup_same_batch"`
	LargerBatch float64 `json:"speedup_larger_batch"`
}

// ways are the ways to share a run.
var ways = []struct {
	name string
	of   func(r Run, w Workers, alone float64) Scaling // alone: seconds of a step on one worker
}{
	{"synchronous (mpirun)", synchronous},
	{"local steps (swarm)", localSteps},
}

// Scale says what each way to share the run brings, for a device.
func (r Run) Scale(e Estimate, w Workers) []Scaling {
	var out []Scaling
	for _, way := range ways {
		s := way.of(r, w, float64(r.StepTokens)/e.TokensPerSec)
		s.Way, s.Device = way.name, e.Device
		out = append(out, s)
	}
	return out
}

const (
	linkShare    = 0.94   // of a link is left of headers (TCP over Ethernet, packets of 1,500 bytes)
	messageTime  = 100e-6 // of one round of messages, all ranks together
	overlapShare = 0.6    // of a micro-batch that runs while earlier gradients are on their way
)

// CopyRate is how many bytes per second a worker copies and adds in its memory while it
// exchanges gradients.
const CopyRate = 1.5e9

// copied is how many bytes a worker copies and adds for one exchange: the gradients come
// from the card and go back, are added, and all that is sent and received passes through
// buffers of the network.
func copied(r Run, sent float64) float64 { return 3*4*float64(r.Params) + 2*sent }

// synchronous sums the gradients of each step over the ranks, in buckets that leave
// while the backward pass still runs. A bucket travels while the next is copied, so the
// slower of link and memory bounds the exchange; beside the last bucket nothing is left
// to do.
func synchronous(r Run, w Workers, alone float64) Scaling {
	n := float64(w.N)
	s := Scaling{Bytes: 2 * (n - 1) / n * float64(w.Format.Bytes()) * float64(r.Params)}
	copies := copied(r, s.Bytes) / cmp.Or(w.Copy, CopyRate)
	travel := 8 * s.Bytes / (linkShare * w.Link)
	s.Exchange = max(travel, copies) + r.LastBucket*min(travel, copies) + 2*messageTime*float64(r.Buckets)
	step := func(compute, accum float64) float64 {
		last := r.LastBucket * s.Exchange
		return compute + last + max(0, s.Exchange-last-overlapShare*compute/accum)
	}
	accum := float64(max(r.GradAccum, 1))
	s.SameBatch = alone / step(alone/n, max(accum/n, 1))
	s.LargerBatch = n * alone / step(alone, accum)
	return s
}

// swarmSteps is how many steps a worker of a swarm trains between two exchanges, by
// default (bitnet swarm serve --local-steps).
const swarmSteps = 100

// localSteps exchanges the change of the weights once in swarmSteps steps, as OfSwarm
// says; the meeting point has a link like the workers'.
func localSteps(r Run, w Workers, alone float64) Scaling {
	n, bytes := float64(w.N), linkShare*w.Link/8
	shared := OfSwarm(r.Params, w.N, swarmSteps, alone/n, r.StepTokens, bytes)
	larger := OfSwarm(r.Params, w.N, swarmSteps, alone, r.StepTokens, bytes)
	return Scaling{
		Bytes: larger.Bytes / swarmSteps, Exchange: larger.Exchange / swarmSteps,
		SameBatch: swarmSteps * alone / shared.Round, LargerBatch: larger.SpeedUp,
	}
}

// ParseLink reads the speed of a link: 10Gbit, 2.5Gbit, 100Mbit.
func ParseLink(text string) (bits float64, err error) {
	lower := strings.TrimSuffix(strings.ToLower(strings.TrimSpace(text)), "/s")
	for unit, factor := range map[string]float64{"gbit": 1e9, "mbit": 1e6, "kbit": 1e3} {
		if number, ok := strings.CutSuffix(lower, unit); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
			if err == nil && v > 0 && v*factor >= 1e3 && v*factor <= 1e15 {
				return v * factor, nil
			}
		}
	}
	return 0, fmt.Errorf("%q: want a speed such as 10Gbit or 100Mbit", text)
}
