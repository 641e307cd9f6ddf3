//go:build !js

package share

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/card"
	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/modelfile/modelfiletest"
	"bitnet/bitnet/runs"
	"bitnet/data/hub"
	"bitnet/data/hub/hubtest"
)

func paths(p *Parcel) (list []string) {
	for _, f := range p.Files {
		list = append(list, f.Path)
	}
	slices.Sort(list)
	return list
}

// aRun is a run whose checkpoint of step 10 holds a model and an optimizer's state.
func aRun(t *testing.T) *runs.Run {
	t.Helper()
	r, err := runs.Create(t.TempDir(), "my_run", []byte("name: simple\n"))
	require.NoError(t, err)
	checkpoint(t, r, modelfiletest.Dir(t, false, nil))
	return r
}

// checkpoint writes one of step 10 with the files of a folder.
func checkpoint(t *testing.T, r *runs.Run, files string) {
	t.Helper()
	require.NoError(t, runs.WriteCheckpoint(r.CheckpointDir(10), runs.State{Step: 10}, func(tmp string) error {
		if err := os.CopyFS(tmp, os.DirFS(files)); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(tmp, "optimizer.safetensors"), []byte("x"), 0o644)
	}))
}

func TestPackRun(t *testing.T) {
	r := aRun(t)
	temp := t.TempDir()
	for _, name := range []string{"TMPDIR", "TMP"} { // TMP on Windows
		t.Setenv(name, temp)
	}
	for _, x := range []struct {
		o    Options
		want []string
	}{
		{Options{}, []string{"README.md", "config.json", "model.safetensors", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json"}},
		{Options{Format: "hf-packed", NoCard: true}, []string{"config.json", "model.safetensors", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json"}},
		{Options{Format: "gguf", Type: "f16"}, []string{"Modelfile", "README.md", "model.gguf"}},
	} {
		p, err := Pack(t.Context(), r.Dir, x.o)
		require.NoError(t, err)
		require.Equal(t, x.want, paths(p), "the optimizer's state stays here")
		var sum int64
		for _, f := range p.Files {
			info, err := os.Stat(f.Local)
			require.NoError(t, err)
			sum += info.Size()
		}
		require.Equal(t, sum, p.Bytes)
		require.NoError(t, p.Close())
		require.NoDirExists(t, p.made)
	}
	_, err := Pack(t.Context(), r.Dir, Options{Format: "gguf", Type: "no"})
	require.Error(t, err)
	left, err := os.ReadDir(temp)
	require.NoError(t, err)
	require.Empty(t, left, "neither success nor an error leaves anything behind")
}

func TestPackFolder(t *testing.T) {
	dir := modelfiletest.Dir(t, true, nil)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, ".git", "objects"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".hidden"), []byte("x"), 0o644))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "extra"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "extra", "notes.txt"), []byte("notes"), 0o644))
	p, err := Pack(t.Context(), dir, Options{License: "mit"})
	require.NoError(t, err)
	require.Contains(t, paths(p), "extra/notes.txt")
	require.Contains(t, paths(p), "README.md")
	require.NotContains(t, strings.Join(paths(p), " "), ".git")
	require.NotContains(t, strings.Join(paths(p), " "), ".hidden")
	require.NoFileExists(t, filepath.Join(dir, "README.md"), "the folder stays as it is")
	require.NoError(t, p.Close())
	require.DirExists(t, dir)

	require.NoError(t, os.WriteFile(filepath.Join(dir, "README.md"), []byte("# mine\n"), 0o644))
	p, err = Pack(t.Context(), dir, Options{})
	require.NoError(t, err)
	require.True(t, p.has("README.md"))
	for _, f := range p.Files {
		require.Nil(t, f.Data, "a README.md that is there is the card")
	}

	for _, x := range []struct {
		name string
		o    Options
		want string
	}{
		{dir, Options{License: "mit"}, "write the license there"},
		{dir, Options{Format: "gguf"}, "is pushed as it is"},
		{dir, Options{License: "MIT License"}, "the hub's identifier"},
		{dir, Options{License: "mit", NoCard: true}, "leave out --license or --no-card"},
		{t.TempDir(), Options{}, "holds no model"},
		{filepath.Join(dir, "config.json"), Options{}, "is a file"},
	} {
		_, err := Pack(t.Context(), x.name, x.o)
		require.ErrorContains(t, err, x.want)
	}
}

func client(t *testing.T, s *hubtest.Server) *hub.Client {
	t.Helper()
	c, err := hub.New(hub.Config{Endpoint: s.URL, Cache: t.TempDir(), Token: "hf_write", Backoff: time.Millisecond})
	require.NoError(t, err)
	return c
}

// Of a run that trained an adapter, the adapter is pushed, and a model only where one
// is made of both first.
func TestPackRunWithAdapter(t *testing.T) {
	base := modelfiletest.Dir(t, false, nil)
	r, err := runs.Create(t.TempDir(), "my_lora", []byte("name: simple\n"))
	require.NoError(t, err)
	checkpoint(t, r, modelfiletest.Adapter(t, base, base))
	for format, want := range map[string][]string{
		"":          {"adapter_config.json", "adapter_model.safetensors"},
		"peft":      {"adapter_config.json", "adapter_model.safetensors"},
		"gguf-lora": {"adapter.gguf"},
	} {
		p, err := Pack(t.Context(), r.Dir, Options{Format: format})
		require.NoError(t, err)
		require.Equal(t, want, paths(p))
		require.NoError(t, p.Close())
	}
	_, err = Pack(t.Context(), r.Dir, Options{Format: "hf"})
	require.ErrorContains(t, err, "bitnet export --merge")
	_, err = Pack(t.Context(), r.Dir, Options{License: "mit"})
	require.ErrorContains(t, err, "leave out --license")
}

// An adapter has no model card of its own, so its folder is pushed as it is.
func TestPackAdapter(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "adapter_config.json"), []byte("{}"), 0o644))
	var notes []string
	p, err := Pack(t.Context(), dir, Options{Note: func(s string) { notes = append(notes, s) }})
	require.NoError(t, err)
	require.Equal(t, []string{"adapter_config.json"}, paths(p))
	require.Len(t, notes, 1)
	_, err = Pack(t.Context(), dir, Options{License: "mit"})
	require.ErrorContains(t, err, "no model card")
}

// A card that a person changed on the hub is not replaced; one that bitnet wrote is.
func TestKeepReadme(t *testing.T) {
	s := hubtest.New(t)
	c := client(t, s)
	repo, err := hub.ParseRepo(hub.Model, "me/mine")
	require.NoError(t, err)
	dir := modelfiletest.Dir(t, false, nil)
	for readme, want := range map[string]bool{"": false, "# by hand\n": true, "ours": false} {
		files := map[string][]byte{".gitattributes": []byte("x")}
		switch readme {
		case "":
		case "ours":
			old, err := card.New(dir, card.About{Title: "an older one"})
			require.NoError(t, err)
			files["README.md"] = old.Readme
		default:
			files["README.md"] = []byte(readme)
		}
		s.Add("models", "me/mine", files)
		p, err := Pack(t.Context(), dir, Options{Repo: "me/mine"})
		require.NoError(t, err)
		kept, err := KeepReadme(t.Context(), c, repo, p)
		require.NoError(t, err)
		require.Equal(t, want, kept, readme)
		require.Equal(t, !want, p.has("README.md"))
	}
}

// What was pushed is pulled again, and is the same model.
func TestPushAndPull(t *testing.T) {
	s := hubtest.New(t)
	s.PartSize = 1000
	c := client(t, s)
	repo, err := hub.ParseRepo(hub.Model, "me/mine")
	require.NoError(t, err)
	r := aRun(t)
	p, err := Pack(t.Context(), r.Dir, Options{Repo: "me/mine"})
	require.NoError(t, err)
	defer p.Close()
	_, err = c.Push(t.Context(), repo, p.Files, hub.PushOptions{Message: "x"})
	require.NoError(t, err)

	snap, err := c.List(t.Context(), repo)
	require.NoError(t, err)
	files, err := Select(snap)
	require.NoError(t, err)
	var cached []string
	for _, f := range files {
		path, err := c.Download(t.Context(), snap, f, nil)
		require.NoError(t, err)
		cached = append(cached, path)
	}
	out := filepath.Join(t.TempDir(), "new", "model")
	require.NoError(t, Place(t.Context(), files, cached, out))
	want, err := modelfile.ReadWeights(r.CheckpointDir(10))
	require.NoError(t, err)
	got, err := modelfile.ReadWeights(out)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.ErrorContains(t, Place(t.Context(), files, cached, out), "exists")

	// A second push of the same run sends nothing.
	again, err := Pack(t.Context(), r.Dir, Options{Repo: "me/mine"})
	require.NoError(t, err)
	defer again.Close()
	done, err := c.Push(t.Context(), repo, again.Files, hub.PushOptions{Message: "x"})
	require.NoError(t, err)
	require.Zero(t, done.Sent)
}

func TestSelect(t *testing.T) {
	list := func(names ...string) *hub.Snapshot {
		s := &hub.Snapshot{Repo: hub.Repo{Name: "org/name", Revision: "main"}}
		for _, n := range names {
			s.Files = append(s.Files, hub.File{Path: n})
		}
		return s
	}
	files, err := Select(list("a.gguf", "b.txt", "sub/c.gguf"), "*.gguf")
	require.NoError(t, err)
	require.Len(t, files, 1)
	for want, s := range map[string]*hub.Snapshot{
		"cannot hold both":             list("Model.bin", "model.bin"),
		"lists a and a":                list("a", "a"),
		"as a file and as a folder":    list("a", "a/b/c"),
		"lists A as a file and as a f": list("A", "a/b"),
		"has no such files":            list(),
	} {
		_, err := Select(s)
		require.ErrorContains(t, err, want)
	}
	_, err = Select(list("a"), "[")
	require.ErrorContains(t, err, "pattern")
}
