package tune

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/gpu/driver"
)

var card = gpu.Adapter{Adapter: driver.Adapter{Name: `A "card"/7`, Driver: "1.0", Kind: gpu.Discrete}, Backend: "wgpu"}

func TestPath(t *testing.T) {
	t.Setenv("BITNET_TUNING", "dir")
	path, err := Path(card)
	require.NoError(t, err)
	require.Regexp(t, `^dir.A-card-7-wgpu-[0-9a-f]{8}\.json$`, path)
	again, err := Path(card)
	require.NoError(t, err)
	require.Equal(t, path, again)
	for _, change := range []func(*gpu.Adapter){
		func(a *gpu.Adapter) { a.Name = `A "card"-7` },
		func(a *gpu.Adapter) { a.Driver = "1.1" },
		func(a *gpu.Adapter) { a.Backend = "dawn" },
	} {
		other := card
		change(&other)
		path, err := Path(other)
		require.NoError(t, err)
		require.NotEqual(t, again, path)
	}
	t.Setenv("BITNET_TUNING", "")
	path, err = Path(card)
	if err == nil {
		require.Contains(t, path, filepath.Join("bitnet", "tuning"))
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "tuning.json")
	_, err := ReadFile(path)
	require.ErrorIs(t, err, fs.ErrNotExist)
	want := NewFile(card)
	want.Products["matmul 1x2x3"] = Choice{Variant: "fast", Seconds: 0.5, Default: "usual", DefaultSeconds: 1}
	require.NoError(t, want.Write(path))
	got, err := ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.NoError(t, got.Fits(card))
	require.True(t, got.Fresh())
	require.Equal(t, map[string]string{"matmul 1x2x3": "fast"}, got.Products.Variants())
	whole, err := os.ReadFile(path)
	require.NoError(t, err)

	for name, row := range map[string]struct{ text, err string }{
		"another adapter": {strings.ReplaceAll(string(whole), "card", "cart"), "it was measured on"},
		"another driver":  {strings.ReplaceAll(string(whole), `"1.0"`, `"0.9"`), "it was measured on"},
		"another backend": {strings.ReplaceAll(string(whole), `"wgpu"`, `"dawn"`), "it was measured on"},
		"stale":           {strings.Replace(string(whole), want.Kernels, "0123456789abcdef", 1), "stale"},
		"empty":           {"", "is not a tuning file"},
		"cut off":         {string(whole[:len(whole)/2]), "is not a tuning file"},
		"nothing":         {"{}", "no products"},
		"null":            {"null", "no products"},
		"a list":          {"[1]", "is not a tuning file"},
		"types":           {`{"products": {"matmul": 7}}`, "is not a tuning file"},
		"numbers":         {`{"products": {"matmul": {"seconds": 1e999}}}`, "is not a tuning file"},
		"lines":           {"{\"products\":\n\x1b[31m\n}", "is not a tuning file"},
		"long names":      {`{"adapter": "` + strings.Repeat("x\\n", 9999) + `", "products": {}}`, "it was measured on"},
		"large":           {`{"products": {}}` + strings.Repeat(" ", mostBytes), "larger than 4 MiB"},
	} {
		require.NoError(t, os.WriteFile(path, []byte(row.text), 0o600))
		f, err := ReadFile(path)
		if err == nil {
			err = f.Fits(card)
		}
		if row.err == "stale" {
			require.NoError(t, err, name)
			require.False(t, f.Fresh())
			continue
		}
		require.ErrorContains(t, err, row.err, name)
		require.NotContains(t, err.Error(), "\n", name)
		require.NotContains(t, err.Error(), "\x1b", name)
		require.Less(t, len(err.Error()), 600, name)
	}
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0o755))
	_, err = ReadFile(path)
	require.Error(t, err)
	require.Error(t, want.Write(path))
}
