package shard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime/debug"
	"time"

	"bitnet/data"
	"bitnet/data/mapped"
	"bitnet/data/order"
)

// LoadOptions says what a Loader gives.
type LoadOptions struct {
	Seq       int    // ids in a row
	Val       bool   // the validation documents, not those to train on
	Shuffle   bool   // else in the order of the inputs
	Seed      uint64 // of the shuffle
	Once      bool   // one pass over what is there when opened (one shard at least), then io.EOF
	Tokenizer string // hash that the shards must carry; "" takes any
}

// Loader is a data.Source over a folder of shards. Its samples are the windows
// of Seq+1 ids that start at multiples of Seq within a shard; the ids after the
// last whole window of a shard are not used.
//
// Shuffled, the windows of a shard come in an order that the seed, the epoch and
// the shard decide, and so do the shards in all epochs but the first. In the
// first epoch the shards come as they were made, so that the order is the same
// whether the folder was complete when training began or still growing: a Loader
// waits for a missing shard as long as a Prepare is running.
type Loader struct {
	ctx context.Context
	dir string
	o   LoadOptions
	m   *Manifest
	pos data.Position

	shard   *Shard // of the next window, or nil if it is to be found
	index   int    // of it
	first   int64  // offset of its first window in the epoch
	windows int64  // in it
	perm    order.Permutation
	raw     []byte
}

// poll is how often a waiting Loader checks again.
const poll = 100 * time.Millisecond

// OpenLoader opens the shards of dir. ctx ends the waiting of later calls.
func OpenLoader(ctx context.Context, dir string, o LoadOptions) (*Loader, error) {
	if o.Seq < 1 {
		return nil, fmt.Errorf("loading %s: a sequence length of %d is too short", dir, o.Seq)
	}
	m, err := ReadManifest(dir)
	if err != nil {
		return nil, err
	}
	if o.Tokenizer != "" && o.Tokenizer != m.Tokenizer {
		return nil, fmt.Errorf("%s was prepared with a different tokenizer (%.12s, not %.12s); prepare it again with this one", dir, m.Tokenizer, o.Tokenizer)
	}
	return &Loader{ctx: ctx, dir: dir, o: o, m: m}, nil
}

// Manifest is what is known of the folder so far.
func (l *Loader) Manifest() *Manifest { return l.m }

// Windows is the number of samples in an epoch; while the folder grows, so far.
func (l *Loader) Windows() (n int64, complete bool) {
	for i := range l.m.Shards {
		n += l.windowsOf(i)
	}
	return n, l.m.Complete
}

func (l *Loader) file(i int) File {
	if l.o.Val {
		return l.m.Shards[i].Val
	}
	return l.m.Shards[i].Train
}

func (l *Loader) windowsOf(i int) int64 {
	return max(l.file(i).IDs-1, 0) / int64(l.o.Seq)
}

// Next fills b. At the end of a single pass (Once) the remaining rows carry no
// loss.
func (l *Loader) Next(b *data.Batch) (err error) {
	if b.Seq != l.o.Seq {
		return fmt.Errorf("%s was opened for sequences of %d, not of %d", l.dir, l.o.Seq, b.Seq)
	}
	before := l.pos
	defer func() {
		if err != nil {
			l.pos = before
			l.leave()
		}
	}()
	defer mapped.Catch(&err, l.dir, debug.SetPanicOnFault(true))
	seq := l.o.Seq
	for r := range b.Rows {
		if l.shard == nil || l.pos.Offset-l.first >= l.windows {
			err := l.find()
			if err == io.EOF && r > 0 {
				clear(b.Inputs[r*seq:])
				for i := r * seq; i < len(b.Targets); i++ {
					b.Targets[i] = data.Ignore
				}
				return nil
			}
			if err != nil {
				return err
			}
		}
		w := uint64(l.pos.Offset - l.first)
		if l.o.Shuffle {
			w = l.perm.At(w)
		}
		start := int64(w) * int64(seq)
		in, out := b.Inputs[r*seq:][:seq], b.Targets[r*seq:][:seq]
		if bad := data.ReadWindow(in, out, l.raw[start*int64(l.shard.width):], l.shard.width, l.shard.vocab); bad >= 0 {
			return fmt.Errorf("%s: id %d is outside of the vocabulary of %d; prepare the data again", l.shard.file.Path(), start+int64(bad), l.shard.vocab)
		}
		l.pos.Offset++
	}
	return nil
}

// find opens the shard of the position, in the next epoch if this one is over.
func (l *Loader) find() error {
	l.leave()
	if err := l.wait(func() bool { return l.m.Complete || len(l.m.Shards) > 0 }); err != nil {
		return err
	}
	for range 2 {
		var shards order.Permutation
		if l.pos.Epoch > 0 && l.o.Shuffle {
			if err := l.wait(func() bool { return l.o.Once || l.m.Complete }); err != nil {
				return err
			}
			shards = order.New(uint64(len(l.m.Shards)), l.seed(-1))
		}
		var first int64
		for k := 0; ; k++ {
			if err := l.wait(func() bool { return l.o.Once || l.m.Complete || k < len(l.m.Shards) }); err != nil {
				return err
			}
			if k >= len(l.m.Shards) {
				break
			}
			i := k
			if shards.Len() > 0 {
				i = int(shards.At(uint64(k)))
			}
			n := l.windowsOf(i)
			if l.pos.Offset < first+n {
				return l.enter(i, first, n)
			}
			first += n
		}
		switch {
		case first == 0:
			return fmt.Errorf("%s: the %s documents have no window of %d+1 ids; give more text or a shorter sequence", l.dir, map[bool]string{false: "training", true: "validation"}[l.o.Val], l.o.Seq)
		case l.pos.Offset > first:
			return fmt.Errorf("%s: there is no sample %d in epoch %d, which has %d; resume with the data that the run began with", l.dir, l.pos.Offset, l.pos.Epoch, first)
		case l.o.Once:
			return io.EOF
		}
		l.pos = data.Position{Epoch: l.pos.Epoch + 1}
	}
	return errors.New("loader: an epoch without windows")
}

// seed decides the order of windows in shard i, or of the shards if i is -1.
func (l *Loader) seed(i int) uint64 {
	return order.Mix(l.o.Seed + order.Mix(uint64(l.pos.Epoch)+order.Mix(uint64(i+2))))
}

func (l *Loader) enter(i int, first, n int64) error {
	f := l.file(i)
	s, err := Open(filepath.Join(l.dir, f.Name))
	if err != nil {
		return err
	}
	if s.tokenizer != l.m.Tokenizer || s.vocab != uint32(l.m.Vocab) || s.ids != f.IDs {
		s.Close()
		return fmt.Errorf("%s is not the shard that the manifest lists (it has %d ids of tokenizer %.12s); prepare the data again with --fresh", s.file.Path(), s.ids, s.tokenizer)
	}
	l.shard, l.index, l.first, l.windows, l.raw = s, i, first, n, s.raw()
	l.perm = order.New(uint64(n), l.seed(i))
	return nil
}

func (l *Loader) leave() {
	if l.shard != nil {
		l.shard.Close()
		l.shard, l.raw = nil, nil
	}
}

// wait reads the manifest again until it has what is asked for.
func (l *Loader) wait(enough func() bool) error {
	for !enough() {
		// The process that prepares holds the lock. The lock is checked first: what
		// was written before its release is then in the manifest.
		lock := newLock(l.dir)
		idle, err := lock.TryRLock()
		if err != nil {
			return fmt.Errorf("waiting for shards of %s: %w", l.dir, err)
		}
		lock.Close()
		m, err := ReadManifest(l.dir)
		if err != nil {
			return err
		}
		if m.ID() != l.m.ID() {
			return fmt.Errorf("%s was prepared again with different inputs or options; start the training again", l.dir)
		}
		l.m = m
		if enough() {
			return nil
		}
		if idle {
			return fmt.Errorf("%s is not complete and no process is preparing it; run bitnet data prepare again to resume it", l.dir)
		}
		select {
		case <-time.After(poll):
		case <-l.ctx.Done():
			return l.ctx.Err()
		}
	}
	return nil
}

// Position is where the next sample comes from.
func (l *Loader) Position() data.Position { return l.pos }

// Seek moves to p, and waits for its shard if the folder is still growing. The
// end of an epoch is the beginning of the next.
func (l *Loader) Seek(p data.Position) error {
	if p.Epoch < 0 || p.Offset < 0 {
		return fmt.Errorf("%s: there is no sample %d in epoch %d", l.dir, p.Offset, p.Epoch)
	}
	before := l.pos
	l.pos = p
	if err := l.find(); err != nil {
		l.leave()
		l.pos = before
		return err
	}
	return nil
}

// Close releases the files.
func (l *Loader) Close() error {
	l.leave()
	return nil
}

// Epoch is Windows.
func (l *Loader) Epoch() (samples int64, known bool) { return l.Windows() }
