package share

import (
	"context"
	"fmt"
	"os"
	"slices"

	"bitnet/bitnet/card"
	"bitnet/data/hub"
	"bitnet/data/plainfile"
)

// KeepReadme takes the model card out of a parcel whose repository has a
// README.md that a person wrote or changed. A repository that is not there, or
// has none, keeps nothing.
func KeepReadme(ctx context.Context, client *hub.Client, repo hub.Repo, p *Parcel) (kept bool, err error) {
	i := slices.IndexFunc(p.Files, func(s hub.Source) bool { return s.Path == card.Name })
	if i < 0 {
		return false, nil
	}
	ours := p.Files[i].Data
	if ours == nil {
		if ours, err = plainfile.Read(p.Files[i].Local, maxReadme); err != nil {
			return false, fmt.Errorf("reading the model card: %w", err)
		}
	}
	if !card.Written(ours) {
		return false, nil // the user's own
	}
	s, err := client.List(ctx, repo)
	if err != nil || s.Cached {
		return false, nil // Push says what is wrong
	}
	f, ok := s.File(card.Name)
	if !ok || f.Size > maxReadme {
		return ok, nil
	}
	local, err := client.Download(ctx, s, f, nil)
	if err != nil {
		return false, err
	}
	theirs, err := os.ReadFile(local)
	if err != nil {
		return false, fmt.Errorf("reading the repository's %s: %w", card.Name, err)
	}
	if card.Written(theirs) {
		return false, nil
	}
	p.Files = slices.Delete(p.Files, i, i+1)
	return true, nil
}

// maxReadme is the largest README.md that is compared.
const maxReadme = 4 << 20
