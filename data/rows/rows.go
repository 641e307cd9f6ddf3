// Package rows lays generated samples out as rows of batches: in a seeded order,
// packed or one a row, with padding that carries no loss.
package rows

import (
	"fmt"
	"io"
	"math"

	"bitnet/data"
	"bitnet/data/order"
)

// Samples holds generated samples as token ids, laid one after the other.
type Samples struct {
	inputs  []uint32
	targets []uint32 // what each position is to predict, or data.Ignore
	start   []int    // sample i is start[i] to start[i+1]
	Longest int      // tokens of the longest sample
}

// Add appends a sample. learned says for each of its ids whether predicting it
// carries loss; nothing predicts the first.
func (c *Samples) Add(ids []uint32, learned []bool) {
	if len(c.start) == 0 {
		c.start = append(c.start, 0)
	}
	c.inputs = append(c.inputs, ids...)
	for i := range ids {
		target := data.Ignore
		if i+1 < len(ids) && learned[i+1] {
			target = ids[i+1]
		}
		c.targets = append(c.targets, target)
	}
	c.start = append(c.start, len(c.inputs))
	c.Longest = max(c.Longest, len(ids))
}

// Len is the number of samples.
func (c *Samples) Len() int64 { return int64(len(c.start) - 1) }

// At is a Sampler: all epochs have the same samples.
func (c *Samples) At(_, i int64) (inputs, targets []uint32) {
	begin, end := c.start[i], c.start[i+1]
	return c.inputs[begin:end], c.targets[begin:end]
}

// Options say how samples become rows of a batch.
type Options struct {
	Seq int
	Pad uint32
	// Pack fills a row with as many whole samples as fit, not with one.
	Pack bool
	// Join lets the end of a packed sample predict the beginning of the next.
	Join bool
	// Shuffle gives each epoch the order that seed decides; else samples come
	// as they were added.
	Shuffle bool
	Seed    uint64
	// Once ends the source with io.EOF after the first epoch.
	Once bool
}

// Sampler gives the ids of sample i of an epoch and what each position is to
// predict. They stand until its next call.
type Sampler func(epoch, i int64) (inputs, targets []uint32)

// Source is a data.Source over n samples. A sample depends on its epoch and number
// alone, and Position counts samples, so that any place is reached at once. Rows
// are filled up with padding, which carries no loss.
type Source struct {
	at   Sampler
	n    int64
	opt  Options
	pos  data.Position
	perm order.Permutation // of this epoch
}

// New makes a source over n samples. It refuses rows that are too short for the longest sample.
func New(what string, sample Sampler, n int64, longest int, o Options) (*Source, error) {
	if o.Seq < longest {
		return nil, fmt.Errorf("%s: a sequence length of %d is too short for its samples, which have up to %d tokens; give at least %d", what, o.Seq, longest, longest)
	}
	s := &Source{at: sample, n: n, opt: o}
	s.reshuffle()
	return s, nil
}

// Samples is how many samples an epoch has.
func (s *Source) Samples() int64 { return s.n }

// Rows is how many rows so many epochs from the beginning take, and how many
// tokens are in them. Rows are packed over the ends of epochs.
func (s *Source) Rows(epochs float64) (rows, tokens int64) {
	counter := *s
	counter.pos = data.Position{}
	counter.opt.Once = false
	counter.reshuffle()
	room := 0
	for range int64(math.Round(epochs * float64(s.n))) {
		i := counter.pos.Offset
		if counter.opt.Shuffle {
			i = int64(counter.perm.At(uint64(i)))
		}
		inputs, _ := counter.at(counter.pos.Epoch, i)
		if len(inputs) > room || !counter.opt.Pack {
			rows++
			room = counter.opt.Seq
		}
		room -= len(inputs)
		tokens += int64(len(inputs))
		counter.advance()
	}
	return rows, tokens
}

// Next fills b, whose Seq must be the one of the options.
func (s *Source) Next(b *data.Batch) error {
	if b.Seq != s.opt.Seq {
		return fmt.Errorf("the data was made for sequences of %d, asked for %d; use one length for both", s.opt.Seq, b.Seq)
	}
	if s.ended() {
		return io.EOF
	}
	for r := range b.Rows {
		var begins []uint32
		if b.Begins != nil {
			begins = b.Begins[r*b.Seq:][:b.Seq]
		}
		s.fill(b.Inputs[r*b.Seq:][:b.Seq], b.Targets[r*b.Seq:][:b.Seq], begins)
	}
	return nil
}

// fill makes a row; begins is nil where the batch has none.
func (s *Source) fill(in, out, begins []uint32) {
	at := 0
	begin := func(n int) {
		for i := at; begins != nil && i < at+n; i++ {
			begins[i] = uint32(at)
		}
	}
	for (at == 0 || s.opt.Pack) && !s.ended() {
		i := s.pos.Offset
		if s.opt.Shuffle {
			i = int64(s.perm.At(uint64(i)))
		}
		inputs, targets := s.at(s.pos.Epoch, i)
		if at+len(inputs) > len(in) {
			break
		}
		begin(len(inputs))
		copy(in[at:], inputs)
		copy(out[at:], targets)
		if at > 0 && s.opt.Join {
			out[at-1] = in[at]
		}
		at += len(inputs)
		s.advance()
	}
	begin(len(in) - at) // padding is a document of its own
	for ; at < len(in); at++ {
		in[at], out[at] = s.opt.Pad, data.Ignore
	}
}

func (s *Source) advance() {
	s.pos.Offset++
	if s.pos.Offset == s.n {
		s.pos = data.Position{Epoch: s.pos.Epoch + 1}
		s.reshuffle()
	}
}

func (s *Source) ended() bool { return s.opt.Once && s.pos.Epoch > 0 }

func (s *Source) reshuffle() {
	if s.opt.Shuffle {
		s.perm = order.New(uint64(s.n), order.Mix(s.opt.Seed+order.Mix(uint64(s.pos.Epoch)+1)))
	}
}

// Position is where the next sample comes from; Offset counts samples, of which
// a packed row holds several.
func (s *Source) Position() data.Position { return s.pos }

// Seek goes to p; a position that the source cannot have is refused.
func (s *Source) Seek(p data.Position) error {
	if p.Epoch < 0 || p.Offset < 0 || p.Offset >= s.n {
		return fmt.Errorf("no sample %d in epoch %d: the data has %d an epoch; resume with the data that the run began with",
			p.Offset, p.Epoch, s.n)
	}
	s.pos = p
	s.reshuffle()
	return nil
}

// Epoch is Samples, which is always known.
func (s *Source) Epoch() (samples int64, known bool) { return s.n, true }
