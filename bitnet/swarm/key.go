package swarm

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"bitnet/data/plainfile"
)

// newKey makes an identity. A meeting point knows a worker by its public key.
func newKey() ed25519.PrivateKey {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err) // the system's random numbers never fail
	}
	return key
}

// keepKey reads the identity of a run, or makes and keeps one: a resumed run is the
// same worker.
func keepKey(path string) (ed25519.PrivateKey, error) {
	text, err := plainfile.Read(path, 1<<10)
	if errors.Is(err, fs.ErrNotExist) {
		key := newKey()
		if err := writeSecret(path, []byte(hex.EncodeToString(key.Seed())+"\n")); err != nil {
			return nil, fmt.Errorf("keeping the key of the worker: %w", err)
		}
		return key, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	seed, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("%s is not the key of a worker: remove it to join as a new one", path)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}
