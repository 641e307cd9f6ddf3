//go:build !js

package hub

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// runClient runs one of Hugging Face's own clients and gives what it pulled: the
// SHA-256 of each file. With a folder it pushes that first.
type runClient func(t *testing.T, url, repo, folder string) map[string]string

func answerOf(t *testing.T, c *exec.Cmd) map[string]string {
	t.Helper()
	b, err := c.Output()
	if failed, ok := err.(*exec.ExitError); ok {
		t.Fatalf("%s", failed.Stderr)
	}
	require.NoError(t, err)
	got := map[string]string{}
	require.NoError(t, json.Unmarshal(b, &got), string(b))
	delete(got, ".gitattributes")
	return got
}

// The server of these tests speaks what the public hub's own clients speak:
// they push to it and pull from it. So what this package pushes is a hub's.
func testClient(t *testing.T, run runClient) {
	s, c := pushHub(t, nil)
	files := map[string][]byte{"README.md": []byte("# x\n"), "config.json": []byte("{}"), "small.safetensors": noise(1, 5000), "large.safetensors": noise(2, 350_000)}
	want := map[string]string{}
	dir := t.TempDir()
	var sources []Source
	for name, b := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), b, 0o644))
		sum := sha256.Sum256(b)
		want[name] = hex.EncodeToString(sum[:])
		sources = append(sources, Source{Path: name, Data: b})
	}
	require.Equal(t, want, run(t, s.URL, "me/theirs", dir), "pushed and pulled by their client")
	requireHeld(t, s, "me/theirs", files)
	var parts, whole int
	for _, r := range s.Requests() {
		if strings.HasPrefix(r, "store PUT /part/") {
			parts++
		} else if strings.HasPrefix(r, "store PUT /whole/") {
			whole++
		}
	}
	require.Equal(t, []int{4, 1}, []int{parts, whole}, "both ways to send a large file were used")

	done, err := c.Push(t.Context(), model(t, "me/theirs"), sources, PushOptions{Message: "x"})
	require.NoError(t, err)
	require.Zero(t, done.Sent, "this package sees that all is there")
	_, err = c.Push(t.Context(), model(t, "me/ours"), sources, PushOptions{Message: "x"})
	require.NoError(t, err)
	require.Equal(t, want, run(t, s.URL, "me/ours", ""), "pushed by this package, pulled by their client")
}

func TestInteropHubJavaScript(t *testing.T) {
	folder := os.Getenv("BITNET_INTEROP")
	if folder == "" {
		cache, err := os.UserCacheDir()
		require.NoError(t, err)
		folder = filepath.Join(cache, "bitnet", "interop-3.22.1")
	}
	if _, err := os.Stat(filepath.Join(folder, "node_modules", "@huggingface", "hub")); err != nil {
		t.Skip("@huggingface/hub is not installed: run make interop")
	}
	testClient(t, func(t *testing.T, url, repo, dir string) map[string]string {
		return answerOf(t, exec.CommandContext(t.Context(), "node", "../../testdata/interop/hub.mjs", folder, url, "hf_write", repo, dir))
	})
}

// BITNET_HUB_PYTHON is a Python that has huggingface_hub, such as that of Debian
// sid's python3-huggingface-hub, or chroot DIR python3 for one whose /tmp is this
// system's.
func TestInteropHubPython(t *testing.T) {
	python := strings.Fields(os.Getenv("BITNET_HUB_PYTHON"))
	if len(python) == 0 {
		t.Skip("BITNET_HUB_PYTHON is not set")
	}
	script, err := os.ReadFile("../../testdata/interop/hub.py")
	require.NoError(t, err)
	testClient(t, func(t *testing.T, url, repo, dir string) map[string]string {
		c := exec.CommandContext(t.Context(), python[0], append(python[1:], "-", url, "hf_write", repo, dir)...)
		c.Stdin = strings.NewReader(string(script))
		return answerOf(t, c)
	})
}
