package shard

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"

	"bitnet/data/text"
)

// hash decides whether a document is kept for validation. It depends on the text
// alone, so that copies of a document are all on the same side.
func hash(text string) uint64 {
	sum := sha256.Sum256([]byte(text))
	return binary.BigEndian.Uint64(sum[:])
}

// How much of the corpus the threshold is chosen by.
const (
	sampleDocuments = 10_000
	sampleBytes     = 64 << 20
)

// LeastHeldOut is how many documents of a sample of n are kept for validation at
// least: a small corpus needs some too, but a single document cannot be split.
func LeastHeldOut(n int) int {
	if n < 2 {
		return 0
	}
	return min(4, (n+19)/20)
}

// threshold chooses below which hash documents are kept for validation: the share
// of all possible hashes, or more if that would leave a small corpus without any.
func threshold(ctx context.Context, o *Options) (uint64, error) {
	if o.HeldOut < 0 {
		return 0, nil
	}
	limit := uint64(math.Min(o.HeldOut, 0.5) * (1 << 32) * (1 << 31) * 2)
	var hashes []uint64
	size := 0
	for d, err := range documents(ctx, o, Cursor{}) {
		if err != nil {
			return 0, err
		}
		hashes = append(hashes, hash(d.Text))
		size += len(d.Text)
		if len(hashes) >= sampleDocuments || size >= sampleBytes {
			break
		}
	}
	slices.Sort(hashes)
	hashes = slices.Compact(hashes)
	least := LeastHeldOut(len(hashes))
	if least > 0 && hashes[least-1] >= limit {
		limit = hashes[least-1] + 1
	}
	return limit, nil
}

// placed is a document with its place in the inputs.
type placed struct {
	text.Document
	input int
}
