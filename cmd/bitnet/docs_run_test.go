package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
)

var runnable = regexp.MustCompile("(?ms)^<!-- runnable -->\n```sh\n(.*?)^```$")

// runnableBlocks are the blocks of a page that are marked to be run.
func runnableBlocks(page string) []string {
	var out []string
	for _, m := range runnable.FindAllStringSubmatch(page, -1) {
		out = append(out, m[1])
	}
	return out
}

// The blocks of README and docs that are marked runnable do run: those of a
// page one after another, in a folder of its own that holds testdata.
func TestRunnableDocs(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	if all, err := gpu.Adapters(); err != nil || len(all) == 0 {
		t.Skip("no graphics adapter: run gpu/install-vulkan.sh")
	}
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh to run the blocks")
	}
	self, err := os.Executable()
	require.NoError(t, err)
	bin := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\nBITNET_TEST_PROGRAM=1 exec '%s' \"$@\"\n", self) // see TestMain
	require.NoError(t, os.WriteFile(filepath.Join(bin, "bitnet"), []byte(script), 0o755))
	testdata, err := filepath.Abs(filepath.Join(project, "testdata"))
	require.NoError(t, err)

	blocks := 0
	pages := docPages(t)
	var paths []string
	for path, page := range pages {
		require.Equal(t, strings.Count(page, "<!-- runnable"), len(runnableBlocks(page)), "%s: the comment stands right before ```sh", path)
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		found := runnableBlocks(pages[path])
		if len(found) == 0 {
			continue
		}
		blocks += len(found)
		t.Run(path, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.Symlink(testdata, filepath.Join(dir, "testdata")))
			for _, block := range found {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				c := exec.CommandContext(ctx, shell, "-eu")
				c.Stdin = strings.NewReader(block)
				c.Dir = dir
				c.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
				out, err := c.CombinedOutput()
				cancel()
				require.NoError(t, err, "%s\n%s", block, out)
				t.Logf("%s\n%s", block, out)
			}
		})
	}
	require.Greater(t, blocks, 3)
}

// A command of a block that fails is noticed.
func TestRunnableBlocks(t *testing.T) {
	require.Equal(t, []string{"a\nb\n", "c\n"}, runnableBlocks("x\n<!-- runnable -->\n```sh\na\nb\n```\n\n```sh\nno\n```\n<!-- runnable -->\n```sh\nc\n```\n"))
	require.Empty(t, runnableBlocks("<!-- runnable -->\n\n    indented\n"))
}
