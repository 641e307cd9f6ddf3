//go:build !js

package hub

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"bitnet/data/hub/hubtest"
)

func noise(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func testFiles() map[string][]byte {
	return map[string][]byte{
		"README.md":              []byte("# A data set\n"),
		"data/train-0.parquet":   noise(1, 700_001),
		"data/train-1.parquet":   noise(2, 300_000),
		"data/empty.parquet":     {},
		"with space/ü+%2f.jsonl": []byte("{}\n"),
	}
}

func client(t testing.TB, s *hubtest.Server, change func(*Config)) *Client {
	t.Helper()
	c := Config{Endpoint: s.URL, Cache: t.TempDir(), Backoff: time.Millisecond, Stall: 5 * time.Second}
	if change != nil {
		change(&c)
	}
	cl, err := New(c)
	require.NoError(t, err)
	return cl
}

func dataset(t testing.TB, name string) Repo {
	t.Helper()
	r, err := ParseRepo(Dataset, name)
	require.NoError(t, err)
	return r
}

// blobs lists what stands under blobs/, without what is incomplete.
func blobs(t testing.TB, c *Client, repo Repo) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(c.dir(repo), "blobs", "*"))
	require.NoError(t, err)
	var out []string
	for _, p := range all {
		if !strings.HasSuffix(p, ".incomplete") {
			out = append(out, filepath.Base(p))
		}
	}
	return out
}

func TestDownloadAll(t *testing.T) {
	for _, kind := range []Kind{Dataset, Model} {
		for _, noTree := range []bool{false, true} {
			s := hubtest.New(t)
			s.Token, s.PageSize, s.NoTree = "hf_secret", 2, noTree
			files := testFiles()
			commit := s.Add(kind.plural(), "org/name", files)
			c := client(t, s, func(c *Config) { c.Token = "hf_secret" })
			repo, err := ParseRepo(kind, "org/name")
			require.NoError(t, err)

			snap, err := c.List(t.Context(), repo)
			require.NoError(t, err)
			require.Equal(t, commit, snap.Commit)
			require.Len(t, snap.Files, len(files))
			require.False(t, snap.Cached)
			for _, f := range snap.Files {
				if noTree {
					require.EqualValues(t, -1, f.Size)
				} else {
					require.EqualValues(t, len(files[f.Path]), f.Size)
					require.Equal(t, hubtest.Hash(f.Path, files[f.Path]), f.Hash)
				}
			}
			paths, err := c.downloadAll(t.Context(), snap, snap.Files, 3)
			require.NoError(t, err)
			for i, p := range paths {
				got, err := os.ReadFile(p)
				require.NoError(t, err)
				require.Equal(t, files[snap.Files[i].Path], got, p)
				want := filepath.Join(c.Cache, kind.plural()+"--org--name", "snapshots", commit, filepath.FromSlash(snap.Files[i].Path))
				require.Equal(t, want, p)
				if runtime.GOOS != "windows" {
					to, err := os.Readlink(p)
					require.NoError(t, err)
					require.False(t, filepath.IsAbs(to))
					require.Equal(t, hubtest.Hash(snap.Files[i].Path, files[snap.Files[i].Path]), filepath.Base(to))
				}
			}
			ref, err := os.ReadFile(filepath.Join(c.dir(repo), "refs", "main"))
			require.NoError(t, err)
			require.Equal(t, commit, string(ref))
			require.False(t, s.Leaked(), "the token went to another host")

			// What is there is not asked for again.
			before := len(s.Requests())
			_, err = c.downloadAll(t.Context(), snap, snap.Files, 3)
			require.NoError(t, err)
			if !noTree {
				require.Len(t, s.Requests(), before)
			}

			// Offline the same, without a request, by name and by commit.
			before = len(s.Requests())
			off := client(t, s, func(o *Config) { o.Offline = true; o.Cache = c.Cache })
			for _, rev := range []string{"main", commit} {
				r := repo
				r.Revision = rev
				snap, err = off.List(t.Context(), r)
				require.NoError(t, err)
				require.True(t, snap.Cached)
				require.False(t, snap.Partial)
				got, err := off.downloadAll(t.Context(), snap, snap.Files, 3)
				require.NoError(t, err)
				require.Equal(t, paths, got)
			}
			require.Len(t, s.Requests(), before)
		}
	}
}

func TestParseRepo(t *testing.T) {
	for in, want := range map[string]Repo{
		"org/name":           {Dataset, "org/name", "main"},
		"org/name@v1.0":      {Dataset, "org/name", "v1.0"},
		"org/name@refs/pr/1": {Dataset, "org/name", "refs/pr/1"},
		"gpt2":               {Dataset, "gpt2", "main"},
	} {
		got, err := ParseRepo(Dataset, in)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, bad := range []string{"", "/", "a/b/c", "../x", "a/..", "a--b/c", "org/na me", "org/name@", "org/name@../x", "org/name@a\\b", "-a/b", "org/"} {
		_, err := ParseRepo(Dataset, bad)
		require.Error(t, err, bad)
	}
}

func TestRevisions(t *testing.T) {
	s := hubtest.New(t)
	s.Add("datasets", "org/name", testFiles())
	c := client(t, s, nil)
	_, err := c.List(t.Context(), dataset(t, "org/name@refs/pr/1"))
	require.ErrorContains(t, err, "check the name and the revision")
	require.Contains(t, s.Requests()[0], "/revision/refs/pr/1")
	_, err = c.List(t.Context(), dataset(t, "org/none"))
	require.ErrorContains(t, err, "404")
}

func TestToken(t *testing.T) {
	s := hubtest.New(t)
	s.Token = "hf_secret"
	s.Add("datasets", "org/name", testFiles())
	_, err := client(t, s, nil).List(t.Context(), dataset(t, "org/name"))
	require.ErrorContains(t, err, "Access to this dataset is restricted.")
	require.ErrorContains(t, err, s.URL+"/datasets/org/name")
	require.ErrorContains(t, err, "set HF_TOKEN")
}

func TestFromEnv(t *testing.T) {
	home := t.TempDir()
	for _, v := range []string{"HF_ENDPOINT", "HF_HUB_CACHE", "HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE"} {
		t.Setenv(v, "")
	}
	t.Setenv("HF_HOME", home)
	require.NoError(t, os.WriteFile(filepath.Join(home, "token"), []byte("hf_file\n"), 0o600))
	c, err := FromEnv()
	require.NoError(t, err)
	require.Equal(t, Config{Cache: filepath.Join(home, "hub"), Token: "hf_file"}, c)
	if _, err := os.Stat("/dev/zero"); err == nil {
		t.Setenv("HF_TOKEN_PATH", "/dev/zero") // which never ends
		c, err = FromEnv()
		require.NoError(t, err)
		require.Empty(t, c.Token)
	}
	t.Setenv("HF_TOKEN", "hf_env")
	t.Setenv("HF_HUB_OFFLINE", "True")
	t.Setenv("HF_HUB_CACHE", "elsewhere")
	t.Setenv("HF_ENDPOINT", "http://localhost:1/")
	c, err = FromEnv()
	require.NoError(t, err)
	require.Equal(t, Config{Endpoint: "http://localhost:1/", Cache: "elsewhere", Token: "hf_env", Offline: true}, c)
	t.Setenv("HF_HOME", "")
	t.Setenv("HF_HUB_CACHE", "")
	t.Setenv("XDG_CACHE_HOME", filepath.Join(home, "xdg"))
	c, err = FromEnv()
	require.NoError(t, err)
	require.Equal(t, filepath.Join(home, "xdg", "huggingface", "hub"), c.Cache)
	_, err = New(Config{Cache: "x", Token: "a\nb"})
	require.ErrorContains(t, err, "HF_TOKEN")
}

// downloadAll brings all files into the cache and gives their paths, in order.
func (c *Client) downloadAll(ctx context.Context, s *Snapshot, files []File, parallel int) ([]string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t := c.Start(ctx, s, files, parallel)
	var first error
	for i := range files {
		<-t.done[i]
		if first == nil && t.errs[i] != nil {
			first = t.errs[i]
			cancel()
		}
	}
	return t.paths, first
}
