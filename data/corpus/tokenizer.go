package corpus

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"bitnet/data/hub"
	"bitnet/data/tokenizer"
)

// tokenizerFiles are those that package tokenizer reads, the first one needed.
var tokenizerFiles = []string{"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"}

// LoadTokenizer loads a tokenizer from a file or folder, or from the model
// org/name[@revision] on the hub.
func LoadTokenizer(ctx context.Context, name string) (*tokenizer.Tokenizer, error) {
	if _, err := os.Stat(name); err == nil {
		return tokenizer.Load(name)
	}
	repo, err := hub.ParseRepo(hub.Model, name)
	if err != nil {
		return nil, fmt.Errorf("tokenizer %s is neither a file or folder here nor ORG/NAME on the hub", name)
	}
	client, err := newClient()
	if err != nil {
		return nil, err
	}
	snap, err := client.List(ctx, repo)
	if err != nil {
		return nil, fmt.Errorf("no tokenizer at the path %s, and from the hub: %w", name, err)
	}
	var dir string
	for i, file := range tokenizerFiles {
		f, ok := snap.File(file)
		if !ok && i == 0 {
			return nil, fmt.Errorf("model %s has no %s; name one that does, or a file", repo, file)
		}
		if !ok {
			continue
		}
		path, err := client.Download(ctx, snap, f, nil)
		if err != nil {
			return nil, err
		}
		dir = filepath.Dir(path)
	}
	return tokenizer.Load(dir)
}
