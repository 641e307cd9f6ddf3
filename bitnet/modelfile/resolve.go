package modelfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bitnet/bitnet/runs"
	"bitnet/data/hub"
)

// Resolve finds the directory of a model's files: of a run its newest whole
// checkpoint, of RUN@best the checkpoint of its lowest validation loss, of a
// checkpoint or a model directory itself. Where there is no such path, a run in
// runsDir of that name is taken, or else
// ORG/NAME[@REVISION] is downloaded from the hub. note gets a line for what is
// skipped and downloaded.
func Resolve(ctx context.Context, runsDir, path string, note func(string)) (string, error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && !info.IsDir():
		return "", fmt.Errorf("%s is a file: give the folder of a run, a checkpoint or a model", path)
	case err == nil:
		dir, err := resolveDir(path, note)
		if errors.Is(err, errNoModel) { // a folder here can have the name of a run
			if run, e := runs.Find(runsDir, path); e == nil {
				return resolveDir(run.Dir, note)
			}
		}
		return dir, err
	}
	if dir, ok, err := runs.FindBest(runsDir, path, note); ok {
		return dir, err
	}
	run, err := runs.Find(runsDir, path)
	switch {
	case err == nil:
		return resolveDir(run.Dir, note)
	case errors.Is(err, runs.ErrAmbiguous):
		return "", err
	}
	repo, err := hub.ParseRepo(hub.Model, path)
	if err != nil || !strings.Contains(repo.Name, "/") {
		return "", fmt.Errorf("there is no run, checkpoint or model %s here or in %s, and it is not ORG/NAME on the hub", path, runsDir)
	}
	dir, err := downloadModel(ctx, repo, note)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("there is no run, checkpoint or model %s here, and it cannot be read from the hub: %w", path, err)
	}
	return dir, err
}

// errNoModel says that a folder is there, and what it is not.
var errNoModel = errors.New("is neither a run nor a checkpoint nor a model: it has no checkpoints folder and no config.json")

func resolveDir(path string, note func(string)) (string, error) {
	exists := func(name string) bool {
		_, err := os.Stat(filepath.Join(path, name))
		return err == nil
	}
	switch {
	case exists("checkpoints"), exists("state.json"):
		dir, _, err := runs.FindCheckpoint(path, note)
		return dir, err
	case exists("config.json"), exists(AdapterConfigName):
		return path, nil
	}
	return "", fmt.Errorf("%s %w", path, errNoModel)
}

// modelExtras are the optional files of a model.
var modelExtras = []string{"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"}

// downloadAdapter gets the files of an adapter.
func downloadAdapter(get func(string) (string, error)) (string, error) {
	config, err := get(AdapterConfigName)
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(config)
	if _, err := readAdapterConfig(dir); err != nil {
		return "", err // before the weights
	}
	_, err = get(AdapterWeightsName)
	return dir, err
}

func downloadModel(ctx context.Context, repo hub.Repo, note func(string)) (string, error) {
	env, err := hub.FromEnv()
	if err != nil {
		return "", err
	}
	client, err := hub.New(env)
	if err != nil {
		return "", err
	}
	snap, err := client.List(ctx, repo)
	if err != nil {
		return "", err
	}
	get := func(name string) (string, error) {
		f, ok := snap.File(name)
		if !ok {
			return "", fmt.Errorf("model %s has no %s", repo, name)
		}
		if !client.Has(snap, f) {
			note(fmt.Sprintf("downloading %s of %s (%d MiB)", name, repo, max(f.Size, 0)>>20))
		}
		return client.Download(ctx, snap, f, nil)
	}
	if _, ok := snap.File("config.json"); !ok {
		if _, ok := snap.File(AdapterConfigName); ok {
			return downloadAdapter(get)
		}
	}
	config, err := get("config.json")
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(config)
	if IsLlama(dir) {
		_, err = readLlama(dir)
	} else {
		_, err = ReadHFConfig(dir)
	}
	if err != nil {
		return "", err // before gigabytes of another architecture
	}
	extras := slices.DeleteFunc(slices.Clone(modelExtras), func(name string) bool { _, ok := snap.File(name); return !ok })
	for _, name := range extras {
		if _, err := get(name); err != nil {
			return "", err
		}
	}
	if _, ok := snap.File(WeightsName); ok {
		_, err := get(WeightsName)
		return dir, err
	}
	if _, err := get(indexName); err != nil {
		return "", err
	}
	shards, _, err := weightFiles(filepath.Join(dir, WeightsName))
	if err != nil {
		return "", err
	}
	for _, name := range shards {
		if _, err := get(name); err != nil {
			return "", err
		}
	}
	return dir, nil
}
