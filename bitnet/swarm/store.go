package swarm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// store keeps the state of a swarm in JetStream: large things as objects, whose
// names never come again, and a record that names them. Replacing the record, which
// happens all at once, is what makes a round count: a meeting point that is killed
// at any moment finds the round before or the round after.
type store struct {
	objects  jetstream.ObjectStore
	values   jetstream.KeyValue
	revision uint64 // of the record
}

const (
	head        = "head" // the key of the record
	headHistory = 8      // older records, for a machine that lost power before it wrote the objects
	storeWait   = time.Minute
)

// errTaken says that another meeting point replaced the record.
var errTaken = errors.New("another meeting point serves this swarm: stop one of them")

// openStore opens or makes the places of a swarm.
func openStore(ctx context.Context, nc *nats.Conn, name string) (*store, error) {
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(storeWait))
	if err != nil {
		return nil, err
	}
	bucket := "bitnet-swarm-" + name
	s := &store{}
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	if s.objects, err = js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: bucket, Description: "weights of a bitnet swarm"}); err == nil {
		s.values, err = js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: bucket, History: headHistory, Description: "state of a bitnet swarm"})
	}
	if err != nil {
		return nil, fmt.Errorf("opening the store of the swarm (the NATS server needs JetStream): %w", err)
	}
	return s, nil
}

// load gives the newest record whose objects are whole, and its objects; nil if
// there is none.
func (s *store) load(ctx context.Context) (r *record, plan, state []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*storeWait)
	defer cancel()
	entries, err := s.values.History(ctx, head)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil, nil, nil
	}
	if err != nil {
		return nil, nil, nil, fmt.Errorf("reading the state of the swarm: %w", err)
	}
	for i := len(entries) - 1; i >= 0; i-- {
		s.revision = max(s.revision, entries[i].Revision())
		var e error
		if r, e = readRecord(entries[i].Value()); e == nil {
			if plan, e = s.get(ctx, r.Plan, maxPlan); e == nil {
				if state, e = s.get(ctx, r.State, stateLen(int(r.Parameters))); e == nil {
					return r, plan, state, nil
				}
			}
		}
		if err == nil {
			err = e
		}
	}
	return nil, nil, nil, err
}

// get reads an object of at most limit bytes and compares its hash.
func (s *store) get(ctx context.Context, o object, limit int64) ([]byte, error) {
	if o.Bytes < 0 || o.Bytes > limit {
		return nil, fmt.Errorf("%s of the swarm has %d bytes, more than it can have", o.Name, o.Bytes)
	}
	r, err := s.objects.Get(ctx, o.Name)
	if err != nil {
		return nil, fmt.Errorf("reading %s of the swarm: %w", o.Name, err)
	}
	defer r.Close()
	b := make([]byte, o.Bytes)
	if _, err := io.ReadFull(r, b); err != nil || hash(b) != o.SHA256 {
		return nil, fmt.Errorf("%s of the swarm is damaged", o.Name)
	}
	return b, nil
}

// put stores an object under a new name.
func (s *store) put(ctx context.Context, name string, from io.Reader) (object, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*storeWait)
	defer cancel()
	h := sha256.New()
	info, err := s.objects.Put(ctx, jetstream.ObjectMeta{Name: name}, io.TeeReader(from, h))
	if err != nil {
		return object{}, fmt.Errorf("keeping %s of the swarm: %w", name, err)
	}
	return object{name, int64(info.Size), hex.EncodeToString(h.Sum(nil))}, nil
}

// commit replaces the record.
func (s *store) commit(ctx context.Context, r *record) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	revision, err := s.values.Update(ctx, head, text, s.revision)
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
		return errTaken
	}
	if err != nil {
		return fmt.Errorf("keeping the state of the swarm: %w", err)
	}
	s.revision = revision
	return nil
}

// forget removes states other than the newest two.
func (s *store) forget(ctx context.Context, keep ...string) {
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	list, err := s.objects.List(ctx)
	if err != nil {
		return // the next round tries again
	}
	for _, o := range list {
		old := o.Name != ""
		for _, k := range keep {
			old = old && o.Name != k
		}
		if old {
			_ = s.objects.Delete(ctx, o.Name) // as above
		}
	}
}
