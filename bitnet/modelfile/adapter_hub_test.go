package modelfile_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/modelfile/modelfiletest"
	"bitnet/data/hub/hubtest"
)

// An adapter on the hub is found with its model, and alone with the model that it names.
// What is no adapter, or one that cannot be loaded, is refused before weights are read.
func TestAdapterFromTheHub(t *testing.T) {
	server := hubtest.New(t)
	t.Setenv("HF_ENDPOINT", server.URL)
	t.Setenv("HF_HOME", t.TempDir())
	t.Setenv("HF_HUB_CACHE", "")
	t.Setenv("HF_HUB_OFFLINE", "")
	files := func(dir string) map[string][]byte {
		out := map[string][]byte{}
		list, err := os.ReadDir(dir)
		require.NoError(t, err)
		for _, f := range list {
			b, err := os.ReadFile(filepath.Join(dir, f.Name()))
			require.NoError(t, err)
			out[f.Name()] = b
		}
		return out
	}
	base := modelfiletest.Dir(t, true, nil)
	adapter := modelfiletest.Adapter(t, base, "org/base")
	server.Add("models", "org/base", files(base))
	server.Add("models", "org/adapter", files(adapter))
	strange := files(adapter)
	strange[modelfile.AdapterConfigName] = bytes.Replace(strange[modelfile.AdapterConfigName], []byte(`"LORA"`), []byte(`"LOHA"`), 1)
	server.Add("models", "org/strange", strange)

	w, err := modelfile.ReadWeights(base)
	require.NoError(t, err)
	want, err := modelfile.ReadAdapter(adapter, w.Config)
	require.NoError(t, err)
	for _, named := range [][2]string{{"org/base", "org/adapter"}, {"org/adapter", ""}, {base, "org/adapter"}} {
		source, err := modelfile.ResolveSource(t.Context(), "runs", named[0], named[1], func(string) {})
		require.NoError(t, err, named)
		require.Equal(t, "org/adapter", modelfile.HubName(source.Adapter))
		weights, got, err := modelfile.ReadSource(source)
		require.NoError(t, err)
		require.Equal(t, w.Hash(), weights.Hash())
		require.Equal(t, want, got)
	}
	_, err = modelfile.ResolveSource(t.Context(), "runs", base, "org/base", func(string) {})
	require.ErrorContains(t, err, "is not an adapter")
	before := len(server.Requests())
	_, err = modelfile.ResolveSource(t.Context(), "runs", base, "org/strange", func(string) {})
	require.ErrorContains(t, err, "peft_type")
	for _, r := range server.Requests()[before:] {
		require.NotContains(t, r, "safetensors")
	}
}
