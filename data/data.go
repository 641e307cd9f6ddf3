// Package data turns text, files and generated corpora into batches of token
// ids, and can say where it stands, so that a resumed run sees exactly the
// tokens that it would have seen.
package data

// Ignore is the target id of a position that carries no loss.
const Ignore = ^uint32(0)

// Batch is one micro-batch: row r holds Seq input ids and the Seq ids that the
// model is to predict from them (the next id, or Ignore).
type Batch struct {
	Rows, Seq int
	Inputs    []uint32 // [Rows, Seq]
	Targets   []uint32 // [Rows, Seq]
	// Begins has the place in its row of the first token of each token's document,
	// [Rows, Seq]. It is nil where a row is one sequence.
	Begins []uint32
}

// NewBatch allocates a batch of rows x seq positions; it is filled again and
// again by Source.Next.
func NewBatch(rows, seq int) *Batch {
	return &Batch{Rows: rows, Seq: seq, Inputs: make([]uint32, rows*seq), Targets: make([]uint32, rows*seq)}
}

// NewPackedBatch allocates a batch whose rows hold documents that do not see
// each other.
func NewPackedBatch(rows, seq int) *Batch {
	b := NewBatch(rows, seq)
	b.Begins = make([]uint32, rows*seq)
	return b
}

// Position says where a Source stands. It is stored in every checkpoint.
type Position struct {
	Epoch  int64 `json:"epoch"`  // completed passes over the data
	Offset int64 `json:"offset"` // samples (rows) already given in this epoch
}

// Source yields micro-batches in an order that its seed alone decides. The
// batch that follows Seek(p) is the one that followed when Position was p.
type Source interface {
	// Next fills b; it allocates nothing.
	Next(b *Batch) error
	Position() Position
	Seek(p Position) error
}
