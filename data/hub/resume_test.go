//go:build !js

package hub

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"bitnet/data/hub/hubtest"
)

// A later run goes on where an earlier one was cut, and starts over when what
// was left is not the beginning of the file.
func TestResumeOfAnotherRun(t *testing.T) {
	const path = "data/train-0.parquet"
	content := testFiles()[path]
	for name, c := range map[string]struct {
		left []byte
		want string // the range asked first
		asks int
	}{
		"good":      {content[:123_456], "bytes=123456-", 1},
		"complete":  {content, "", 0},
		"too long":  {append(content[:len(content):len(content)], 1), "", 1},
		"bad":       {noise(9, 1000), "bytes=1000-", 2},
		"bad whole": {noise(9, len(content)), "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := hubtest.New(t)
			s.Add("datasets", "org/name", testFiles())
			cl := client(t, s, nil)
			snap, err := cl.List(t.Context(), dataset(t, "org/name"))
			require.NoError(t, err)
			f, _ := snap.File(path)
			part := cl.blob(snap.Repo, f.Hash) + ".incomplete"
			require.NoError(t, os.MkdirAll(filepath.Dir(part), 0o777))
			require.NoError(t, os.WriteFile(part, c.left, 0o666))
			got, err := cl.Download(t.Context(), snap, f, nil)
			require.NoError(t, err)
			b, err := os.ReadFile(got)
			require.NoError(t, err)
			require.Equal(t, content, b)
			var asked []string
			for _, r := range s.Requests() {
				if rest, ok := strings.CutPrefix(r, "store GET /"+f.Hash); ok {
					asked = append(asked, strings.TrimSpace(rest))
				}
			}
			require.Len(t, asked, c.asks)
			if c.asks > 0 {
				require.Equal(t, c.want, asked[0])
			}
		})
	}
}

// TestHelperProcess is not a test: it is the other process of the next one.
func TestHelperProcess(t *testing.T) {
	if os.Getenv("BITNET_HUB_HELPER") == "" {
		t.Skip("only run by TestTwoProcesses")
	}
	c, err := FromEnv()
	require.NoError(t, err)
	cl, err := New(c)
	require.NoError(t, err)
	snap, err := cl.List(t.Context(), dataset(t, "org/name"))
	require.NoError(t, err)
	_, err = cl.downloadAll(t.Context(), snap, snap.Files, 2)
	require.NoError(t, err)
}

func TestTwoProcesses(t *testing.T) {
	s := hubtest.New(t)
	files := testFiles()
	s.Add("datasets", "org/name", files)
	s.SetFault(func(host string, w http.ResponseWriter, r *http.Request) bool {
		if host == "store" {
			time.Sleep(100 * time.Millisecond) // so that they meet
		}
		return false
	})
	cache := t.TempDir()
	var wg sync.WaitGroup
	outs := make([]error, 2)
	for i := range outs {
		wg.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run=TestHelperProcess$")
			cmd.Env = append(os.Environ(), "BITNET_HUB_HELPER=1", "HF_ENDPOINT="+s.URL, "HF_HUB_CACHE="+cache, "HF_HOME="+t.TempDir(), "HF_HUB_OFFLINE=0")
			out, err := cmd.CombinedOutput()
			if err != nil {
				outs[i] = fmt.Errorf("%w: %s", err, out)
			}
		})
	}
	wg.Wait()
	for _, err := range outs {
		require.NoError(t, err)
	}
	cl := client(t, s, func(c *Config) { c.Cache, c.Offline = cache, true })
	snap, err := cl.List(t.Context(), dataset(t, "org/name"))
	require.NoError(t, err)
	require.Len(t, blobs(t, cl, snap.Repo), len(files))
	for _, f := range snap.Files {
		b, err := os.ReadFile(cl.pointer(snap, f.Path))
		require.NoError(t, err)
		require.Equal(t, files[f.Path], b)
		n := 0
		for _, r := range s.Requests() {
			if r == "store GET /"+f.Hash {
				n++
			}
		}
		if hubtest.IsLFS(f.Path) && f.Size > 0 {
			require.Equal(t, 1, n, "%s was fetched %d times", f.Path, n)
		}
	}
}

func TestCancel(t *testing.T) {
	s := hubtest.New(t)
	s.Add("datasets", "org/name", testFiles())
	c := client(t, s, nil)
	snap, err := c.List(t.Context(), dataset(t, "org/name"))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	s.SetFault(func(host string, w http.ResponseWriter, r *http.Request) bool {
		if host == "store" {
			cancel()
			<-r.Context().Done()
			return true
		}
		return false
	})
	_, err = c.downloadAll(ctx, snap, snap.Files, 1)
	require.ErrorIs(t, err, context.Canceled)
}

// Checking the hash of a file, which takes seconds for a large one, ends too, and
// keeps what was downloaded.
func TestCancelWhileChecking(t *testing.T) {
	s := hubtest.New(t)
	s.Add("datasets", "org/name", testFiles())
	c := client(t, s, nil)
	snap, err := c.List(t.Context(), dataset(t, "org/name"))
	require.NoError(t, err)
	f, _ := snap.File("data/train-0.parquet")
	ctx, cancel := context.WithCancel(t.Context())
	sum := int64(0)
	_, err = c.Download(ctx, snap, f, func(n int64, _ bool) {
		if sum += n; sum == f.Size {
			cancel() // all is there, and not yet checked
		}
	})
	require.ErrorIs(t, err, context.Canceled)
	left, err := os.ReadFile(c.blob(snap.Repo, f.Hash) + ".incomplete")
	require.NoError(t, err)
	require.Equal(t, testFiles()[f.Path], left)
	before := len(s.Requests())
	_, err = c.Download(t.Context(), snap, f, nil)
	require.NoError(t, err)
	require.Len(t, s.Requests(), before, "what was there was fetched again")
}

func TestTransferInOrder(t *testing.T) {
	s := hubtest.New(t)
	s.Add("datasets", "org/name", testFiles())
	c := client(t, s, nil)
	snap, err := c.List(t.Context(), dataset(t, "org/name"))
	require.NoError(t, err)
	files, err := snap.Match("data/train-*.parquet")
	require.NoError(t, err)
	require.Len(t, files, 2)
	hold := make(chan struct{})
	s.SetFault(func(host string, w http.ResponseWriter, r *http.Request) bool {
		if host == "store" && strings.Contains(r.URL.Path, files[1].Hash) {
			<-hold
		}
		return false
	})
	tr := c.Start(t.Context(), snap, files, 2)
	_, err = tr.Wait(t.Context(), 0) // usable while the second is held
	require.NoError(t, err)
	bytes, n := tr.Progress()
	require.Equal(t, 1, n)
	require.EqualValues(t, 700_001, bytes.Done)
	require.EqualValues(t, 1_000_001, bytes.Total)
	close(hold)
	_, err = tr.Wait(t.Context(), 1)
	require.NoError(t, err)
	_, err = snap.Match("[")
	require.Error(t, err)
}
