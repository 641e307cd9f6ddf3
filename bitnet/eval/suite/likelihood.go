package suite

import (
	"context"
	"io"
	"slices"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/model"
	"bitnet/data"
)

// answer is what a model says to a request.
type answer struct {
	LogProb float64 `json:"logprob"` // of the continuation, in nats
	Greedy  bool    `json:"greedy"`  // each of its tokens is the likeliest; only where the task asks
}

// passTokens is about how many tokens are computed at once.
const passTokens = 2048

// likelihoods measures requests in one pass each: several share a row of a batch
// without seeing each other. done gets the number of tokens of each that was measured.
func likelihoods(ctx context.Context, m *model.Model, requests []request, most int, done func(tokens int)) ([]answer, error) {
	answers := make([]answer, len(requests))
	if len(requests) == 0 {
		return answers, nil
	}
	p := newPacker(requests, most)
	scorer, err := infer.NewScorer(m, p.rows(), p.seq, true, nil)
	if err != nil {
		return nil, err
	}
	defer scorer.Release()
	_, err = scorer.Loss(ctx, p, int64(len(p.table)), func(t infer.TokenLogProb) error {
		place := p.table[t.Row].find(t.Position - 1)
		answers[place.request].LogProb += t.LogProb
		if place.first == t.Position-1 { // each place is met once with its first target
			done(len(requests[place.request].inputs(most)))
		}
		return nil
	})
	return answers, err
}

// packer lays requests out as rows. It is a data.Source that ends.
type packer struct {
	requests []request
	most     int // inputs of a request
	seq      int
	table    []packedRow
	next     int // row
}

// packedRow are the requests of a row in the order of their places.
type packedRow []packedRequest

// packedRequest is where a request is in its row.
type packedRequest struct {
	request int
	begin   int // of its inputs
	first   int // the position that predicts the first token of its continuation
}

// find is the request that a position belongs to.
func (r packedRow) find(position int) packedRequest {
	i, found := slices.BinarySearchFunc(r, position, func(p packedRequest, at int) int { return p.begin - at })
	if !found {
		i--
	}
	return r[i]
}

// newPacker decides the length of rows and the place of each request. Most inputs
// fit the model.
func newPacker(requests []request, most int) *packer {
	p := &packer{requests: requests, most: most}
	length := func(r request) int { return min(len(r.context)+len(r.continuation)-1, most) }
	total := 0
	for _, r := range requests {
		p.seq = max(p.seq, length(r))
		total += length(r)
	}
	// Long rows waste little at their ends; attention costs more in them.
	p.seq = min(max((p.seq+31)/32*32, min(256, total)), most)
	room := 0
	for i, r := range requests {
		n := length(r)
		if n > room {
			p.table = append(p.table, nil)
			room = p.seq
		}
		row := &p.table[len(p.table)-1]
		begin := p.seq - room
		*row = append(*row, packedRequest{i, begin, begin + n - len(r.continuation)})
		room -= n
	}
	return p
}

// rows is how many rows a batch has.
func (p *packer) rows() int { return max(1, min(passTokens/p.seq, len(p.table))) }

// Next fills a batch; rows after the last are padding.
func (p *packer) Next(b *data.Batch) error {
	if p.next >= len(p.table) {
		return io.EOF
	}
	clear(b.Inputs)
	for i := range b.Targets {
		b.Targets[i] = data.Ignore
		b.Begins[i] = uint32(i % b.Seq) // padding sees itself alone
	}
	for r := range b.Rows {
		if p.next >= len(p.table) {
			break
		}
		at := r * b.Seq
		for _, place := range p.table[p.next] {
			q := p.requests[place.request]
			inputs := q.inputs(p.most)
			copy(b.Inputs[at+place.begin:], inputs)
			for i := range inputs {
				b.Begins[at+place.begin+i] = uint32(place.begin)
			}
			copy(b.Targets[at+place.first:], q.continuation)
		}
		p.next++
	}
	return nil
}

// Position counts rows.
func (p *packer) Position() data.Position { return data.Position{Offset: int64(p.next)} }

// Seek goes to a row.
func (p *packer) Seek(to data.Position) error {
	p.next = int(to.Offset)
	return nil
}
