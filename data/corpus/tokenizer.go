package corpus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"bitnet/data/hub"
	"bitnet/data/printable"
	"bitnet/data/tokenizer"
)

// tokenizerFiles are those that package tokenizer reads. Only the first one must
// be there.
var tokenizerFiles = []string{"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"}

// LoadTokenizer loads a tokenizer from a file or folder, or from the model
// ORG/NAME[@REVISION] on the hub.
func LoadTokenizer(ctx context.Context, name string) (*tokenizer.Tokenizer, error) {
	_, err := os.Stat(name)
	if err == nil {
		return tokenizer.Load(name)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("opening the tokenizer: %w", err)
	}
	shown := printable.String(name)
	repo, err := hub.ParseRepo(hub.Model, name)
	if err != nil {
		return nil, fmt.Errorf("no tokenizer: there is no file or folder %s, and that is not a name on the hub either; give a tokenizer.json, a folder that holds one, or ORG/NAME", shown)
	}
	tried := func(err error) error {
		return fmt.Errorf("no tokenizer: there is no file or folder %s, and as a name on the hub: %w", shown, err)
	}
	client, err := newClient()
	if err != nil {
		return nil, tried(err)
	}
	snap, err := client.List(ctx, repo)
	if err != nil {
		return nil, tried(err)
	}
	var dir string
	for i, file := range tokenizerFiles {
		f, ok := snap.File(file)
		if !ok && i == 0 {
			return nil, tried(fmt.Errorf("model %s has no %s among its %s; choose a model that has one", repo, file, few(snap.Files)))
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
