package data

import (
	"fmt"
	"io"

	"bitnet/data/order"
)

// corpus holds generated samples as token ids, laid one after the other.
type corpus struct {
	inputs  []uint32
	targets []uint32 // what each position is to predict, or Ignore
	start   []int    // sample i is start[i] to start[i+1]
	longest int      // tokens of the longest sample
}

// add appends a sample. learned says for each of its ids whether predicting it
// carries loss; nothing predicts the first.
func (c *corpus) add(ids []uint32, learned []bool) {
	if len(c.start) == 0 {
		c.start = append(c.start, 0)
	}
	c.inputs = append(c.inputs, ids...)
	for i := range ids {
		target := Ignore
		if i+1 < len(ids) && learned[i+1] {
			target = ids[i+1]
		}
		c.targets = append(c.targets, target)
	}
	c.start = append(c.start, len(c.inputs))
	c.longest = max(c.longest, len(ids))
}

func (c *corpus) samples() int64 { return int64(len(c.start) - 1) }

// sample is a sampler: all epochs have the same samples.
func (c *corpus) sample(_, i int64) (inputs, targets []uint32) {
	begin, end := c.start[i], c.start[i+1]
	return c.inputs[begin:end], c.targets[begin:end]
}

// rowOptions say how samples become rows of a batch.
type rowOptions struct {
	seq int
	pad uint32
	// pack fills a row with as many whole samples as fit, not with one.
	pack bool
	// join lets the end of a packed sample predict the beginning of the next.
	join bool
	// shuffle gives each epoch the order that seed decides; else samples come
	// as they were added.
	shuffle bool
	seed    uint64
	// once ends the source with io.EOF after the first epoch.
	once bool
}

// sampler gives the ids of sample i of an epoch and what each position is to
// predict. They stand until its next call.
type sampler func(epoch, i int64) (inputs, targets []uint32)

// rows is a Source over n samples. A sample depends on its epoch and number
// alone, and Position counts samples, so that any place is reached at once. Rows
// are filled up with padding, which carries no loss.
type rows struct {
	at   sampler
	n    int64
	opt  rowOptions
	pos  Position
	perm order.Permutation // of this epoch
}

// newRows refuses rows that are too short for the longest sample.
func newRows(what string, sample sampler, n int64, longest int, o rowOptions) (*rows, error) {
	if o.seq < longest {
		return nil, fmt.Errorf("%s: a sequence length of %d is too short for its samples, which have up to %d tokens; give at least %d", what, o.seq, longest, longest)
	}
	s := &rows{at: sample, n: n, opt: o}
	s.reshuffle()
	return s, nil
}

// Samples is how many samples an epoch has.
func (s *rows) Samples() int64 { return s.n }

// Next fills b, whose Seq must be the one of the options.
func (s *rows) Next(b *Batch) error {
	if b.Seq != s.opt.seq {
		return fmt.Errorf("the data was made for sequences of %d, asked for %d; use one length for both", s.opt.seq, b.Seq)
	}
	if s.ended() {
		return io.EOF
	}
	for r := range b.Rows {
		s.fill(b.Inputs[r*b.Seq:][:b.Seq], b.Targets[r*b.Seq:][:b.Seq])
	}
	return nil
}

func (s *rows) fill(in, out []uint32) {
	at := 0
	for (at == 0 || s.opt.pack) && !s.ended() {
		i := s.pos.Offset
		if s.opt.shuffle {
			i = int64(s.perm.At(uint64(i)))
		}
		inputs, targets := s.at(s.pos.Epoch, i)
		if at+len(inputs) > len(in) {
			break
		}
		copy(in[at:], inputs)
		copy(out[at:], targets)
		if at > 0 && s.opt.join {
			out[at-1] = in[at]
		}
		at += len(inputs)
		s.advance()
	}
	for ; at < len(in); at++ {
		in[at], out[at] = s.opt.pad, Ignore
	}
}

func (s *rows) advance() {
	s.pos.Offset++
	if s.pos.Offset == s.n {
		s.pos = Position{Epoch: s.pos.Epoch + 1}
		s.reshuffle()
	}
}

func (s *rows) ended() bool { return s.opt.once && s.pos.Epoch > 0 }

func (s *rows) reshuffle() {
	if s.opt.shuffle {
		s.perm = order.New(uint64(s.n), order.Mix(s.opt.seed+order.Mix(uint64(s.pos.Epoch)+1)))
	}
}

// Position is where the next sample comes from; Offset counts samples, of which
// a packed row holds several.
func (s *rows) Position() Position { return s.pos }

// Seek goes to p; a position that the source cannot have is refused.
func (s *rows) Seek(p Position) error {
	if p.Epoch < 0 || p.Offset < 0 || p.Offset >= s.n {
		return fmt.Errorf("no sample %d in epoch %d: the data has %d an epoch; resume with the data that the run began with",
			p.Offset, p.Epoch, s.n)
	}
	s.pos = p
	s.reshuffle()
	return nil
}
