package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// makeRelease makes a release for this system whose program is a script that prints a version.
func makeRelease(t *testing.T, version string) string {
	dir := t.TempDir()
	this := target{runtime.GOOS, runtime.GOARCH}
	program := fmt.Sprintf("#!/bin/sh\n[ \"$1\" = version ] && echo bitnet %s\n", version)
	files := []file{{"bitnet", []byte(program), true}, {"docs/use.md", []byte(version), false}, {"gpu/install-vulkan.sh", nil, true}}
	require.NoError(t, pack(filepath.Join(dir, this.archive()), this.folder(), files, moment))
	require.NoError(t, writeChecksums(dir))
	return dir
}

// install runs docs/install.sh for a user with an empty home.
func install(t *testing.T, home string, more ...string) (string, error) {
	c := exec.Command("sh", filepath.Join("..", "..", "docs", "install.sh"))
	c.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home}, more...)
	out, err := c.CombinedOutput()
	return string(out), err
}

func read(t *testing.T, path ...string) string {
	text, err := os.ReadFile(filepath.Join(path...))
	require.NoError(t, err)
	return string(text)
}

// install.sh installs a release from a server or a folder, keeps a driver over an update, and leaves
// what is installed alone when a download is damaged.
func TestInstall(t *testing.T) {
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" || runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("there is no archive for install.sh here")
	}
	if _, err := exec.LookPath("curl"); err != nil {
		if _, err := exec.LookPath("wget"); err != nil {
			t.Skip("install.sh needs curl or wget")
		}
	}
	home := filepath.Join(t.TempDir(), "a home")
	require.NoError(t, os.Mkdir(home, 0o755))
	bin, share := filepath.Join(home, ".local", "bin", "bitnet"), filepath.Join(home, ".local", "share", "bitnet")
	first := makeRelease(t, "v1.0.0")
	server := httptest.NewServer(http.FileServer(http.Dir(first)))
	defer server.Close()

	out, err := install(t, home)
	require.Error(t, err)
	require.Contains(t, out, "set BITNET_RELEASES")
	require.NoDirExists(t, filepath.Join(home, ".local"))

	out, err = install(t, home, "BITNET_RELEASES="+server.URL)
	require.NoError(t, err, out)
	require.Contains(t, out, "bitnet v1.0.0 is installed as "+bin)
	require.Contains(t, out, "is not on the path")
	if runtime.GOOS == "linux" {
		require.Contains(t, out, "install-vulkan.sh", "the script's program finds no adapter")
	}
	require.Contains(t, read(t, bin), "v1.0.0")
	require.Equal(t, "v1.0.0", read(t, share, "docs", "use.md"))

	// An update, from a folder. A driver that the user put there stays.
	require.NoError(t, os.Mkdir(filepath.Join(share, ".vulkan"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(share, ".vulkan", "env"), []byte("driver"), 0o644))
	second := makeRelease(t, "v2.0.0")
	out, err = install(t, home, "BITNET_RELEASES="+second)
	require.NoError(t, err, out)
	require.Contains(t, read(t, bin), "v2.0.0")
	require.Equal(t, "v2.0.0", read(t, share, "docs", "use.md"))
	require.Equal(t, "driver", read(t, share, ".vulkan", "env"))

	// Damaged, missing, of another system: nothing changes.
	archive := filepath.Join(first, target{runtime.GOOS, runtime.GOARCH}.archive())
	whole := read(t, archive)
	require.NoError(t, os.WriteFile(archive, []byte(whole[:len(whole)-1]), 0o644))
	out, err = install(t, home, "BITNET_RELEASES="+server.URL)
	require.Error(t, err)
	require.Contains(t, out, "is damaged")
	require.NoError(t, os.Remove(archive))
	out, err = install(t, home, "BITNET_RELEASES="+server.URL)
	require.Error(t, err)
	require.Contains(t, out, "cannot download")
	require.NoError(t, os.WriteFile(filepath.Join(first, "SHA256SUMS"), nil, 0o644))
	out, err = install(t, home, "BITNET_RELEASES="+first)
	require.Error(t, err)
	require.Contains(t, out, "this release has no bitnet-")
	require.Contains(t, read(t, bin), "v2.0.0")
	entries, err := os.ReadDir(filepath.Dir(share))
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing is left behind")
}
