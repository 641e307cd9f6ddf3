package modelfile

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

// Source is where the weights of a model lie: the folder of the model, and that of an
// adapter on it.
type Source struct {
	Dir     string
	Adapter string // "" for none
}

// Own is the folder that says what was trained: that of the adapter, or of the model.
func (s Source) Own() string {
	if s.Adapter != "" {
		return s.Adapter
	}
	return s.Dir
}

// ResolveSource finds a model, and its adapter, as Resolve finds a model. An adapter
// that is named alone, such as a run that trained one, leads to its base; path is then
// that of the adapter, and adapter is "".
func ResolveSource(ctx context.Context, runsDir, path, adapter string, note func(string)) (Source, error) {
	dir, err := Resolve(ctx, runsDir, path, note)
	switch {
	case err != nil:
		return Source{}, err
	case !IsAdapter(dir):
		if adapter == "" {
			return Source{Dir: dir}, nil
		}
		found, err := Resolve(ctx, runsDir, adapter, note)
		if err == nil && !IsAdapter(found) {
			err = fmt.Errorf("%s is not an adapter: it has no %s", found, AdapterConfigName)
		}
		return Source{Dir: dir, Adapter: found}, err
	case adapter != "":
		return Source{}, fmt.Errorf("%s is an adapter itself: give the model that %s belongs to", path, adapter)
	}
	base, err := AdapterBase(dir)
	if err != nil {
		return Source{}, err
	}
	if base == "" {
		return Source{}, fmt.Errorf("%s does not say what it was trained on: give the model, and this adapter with --adapter", dir)
	}
	found, err := Resolve(ctx, runsDir, base, note)
	if err == nil && IsAdapter(found) {
		err = fmt.Errorf("%s is an adapter, not a model", found)
	}
	if err != nil {
		return Source{}, fmt.Errorf("the model that the adapter %s belongs to is not there (%w): give that model, and this adapter with --adapter", dir, err)
	}
	return Source{Dir: found, Adapter: dir}, nil
}

// ReadSource reads the weights of a model, and its adapter, which is nil where there is
// none. An adapter of a different model is refused.
func ReadSource(s Source) (*Weights, *Adapter, error) {
	w, err := ReadWeights(s.Dir)
	if err != nil || s.Adapter == "" {
		return w, nil, err
	}
	a, err := ReadAdapter(s.Adapter, w.Config)
	if err != nil {
		return nil, nil, err
	}
	return w, a, w.CheckBase(s.Dir, a.BaseHash, s.Adapter)
}

// CheckBase refuses weights of dir that are not those which an adapter was trained on,
// by their hash; "" is not known and fits.
func (w *Weights) CheckBase(dir, hash, adapter string) error {
	if hash == "" || hash == w.Hash() {
		return nil
	}
	return fmt.Errorf("%s is not the model that the adapter %s was trained on, or it has changed since: its weights have a different hash", dir, adapter)
}

// HubName is ORG/NAME for a folder in the cache of the hub, which other
// machines can find, and the folder itself for any other.
func HubName(dir string) string {
	snapshots := filepath.Dir(dir)
	repo, ok := strings.CutPrefix(filepath.Base(filepath.Dir(snapshots)), "models--")
	org, name, two := strings.Cut(repo, "--")
	if !ok || !two || filepath.Base(snapshots) != "snapshots" {
		return dir
	}
	return org + "/" + name
}
