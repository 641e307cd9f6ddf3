package swarm

// part is a stretch of the training data: samples First up to, but not including,
// End, counted over all epochs in the order that the seed of the swarm decides.
type part struct {
	First int64 `json:"first"`
	End   int64 `json:"end"`
}

// mostFree bounds the parts that are kept to be given out again.
const mostFree = 256

// mostSample is where counting samples starts again from 0.
const mostSample = 1 << 60

// parts gives every sample to one worker, as long as the data lasts: those that
// were given to a worker that left are given out again.
type parts struct {
	Next int64  `json:"next"`
	Free []part `json:"free,omitempty"`
}

// fill gives more parts to what a worker has, up to need samples.
func (p *parts) fill(has []part, need int64) []part {
	for _, x := range has {
		need -= x.End - x.First
	}
	for need > 0 && len(p.Free) > 0 {
		x := &p.Free[0]
		n := min(x.End-x.First, need)
		has = append(has, part{x.First, x.First + n})
		if x.First += n; x.First == x.End {
			p.Free = p.Free[1:]
		}
		need -= n
	}
	if need > 0 {
		if p.Next > mostSample {
			p.Next = 0 // the data begins again, as it does after every epoch
		}
		if k := len(has) - 1; k >= 0 && has[k].End == p.Next {
			has[k].End += need
		} else {
			has = append(has, part{p.Next, p.Next + need})
		}
		p.Next += need
	}
	return has
}

// free takes back what a worker has not trained on.
func (p *parts) free(has []part) {
	for _, x := range has {
		if x.End > x.First && len(p.Free) < mostFree {
			p.Free = append(p.Free, x)
		}
	}
}

// used is what remains of a worker's parts after n samples of each step, steps
// times. A step takes its samples from one part: what is left of a part that is
// too short for it is passed over.
func used(has []part, n, steps int64) []part {
	for steps > 0 && len(has) > 0 {
		k := min((has[0].End-has[0].First)/n, steps)
		has[0].First += k * n
		steps -= k
		if has[0].End-has[0].First < n {
			has = has[1:]
		}
	}
	return has
}
