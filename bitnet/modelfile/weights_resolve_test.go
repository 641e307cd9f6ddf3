package modelfile_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/modelfile/modelfiletest"
	"bitnet/data/hub/hubtest"
)

// A model is found where it lies, and on the hub where no such path exists.
func TestResolveModel(t *testing.T) {
	server := hubtest.New(t)
	t.Setenv("HF_ENDPOINT", server.URL)
	t.Setenv("HF_HOME", t.TempDir())
	for _, name := range []string{"HF_HUB_CACHE", "HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE"} {
		t.Setenv(name, "")
	}
	dir := modelfiletest.Dir(t, true, nil)
	file := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		return b
	}
	files := map[string][]byte{"README.md": []byte("read me"), "training.bin": []byte("large")}
	for _, name := range []string{"config.json", modelfile.WeightsName, "tokenizer.json", "tokenizer_config.json"} {
		files[name] = file(name)
	}
	server.Add("models", "org/small", files)
	parts := map[string][]byte{"config.json": files["config.json"], "one.safetensors": files[modelfile.WeightsName], "other.safetensors": {1}}
	c, m := modelfiletest.Small(true)
	index := map[string]string{}
	for name := range m {
		index[name] = "one.safetensors"
	}
	var err error
	parts[modelfile.IndexName], err = json.Marshal(map[string]any{"weight_map": index})
	require.NoError(t, err)
	server.Add("models", "org/parts", parts)
	c.ModelType = "llama"
	foreign, err := json.Marshal(c)
	require.NoError(t, err)
	server.Add("models", "org/foreign", map[string][]byte{"config.json": foreign, modelfile.WeightsName: {1}})

	want, err := modelfile.ReadWeights(dir)
	require.NoError(t, err)
	for _, path := range []string{dir, "org/small", "org/parts", "org/small@main"} {
		notes := 0
		found, err := modelfile.Resolve(context.Background(), "runs", path, func(string) { notes++ })
		require.NoError(t, err)
		got, err := modelfile.ReadWeights(found)
		require.NoError(t, err)
		require.Equal(t, want, got)
		if path != "org/parts" {
			require.FileExists(t, filepath.Join(found, "tokenizer.json"))
		}
		for _, unwanted := range []string{"README.md", "training.bin", "other.safetensors"} {
			require.NoFileExists(t, filepath.Join(found, unwanted))
		}
		require.Equal(t, path == "org/small" || path == "org/parts", notes > 0, "%s: told of downloads once", path)
	}
	for path, want := range map[string]string{
		"org/foreign":     "model_type is",
		"org/nothing":     "from the hub",
		"no-such-run":     "not ORG/NAME",
		"../up/../run":    "not ORG/NAME",
		"runs/a/b/step_1": "not ORG/NAME",
	} {
		_, err := modelfile.Resolve(context.Background(), "runs", path, func(string) {})
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "\n")
	}
}
