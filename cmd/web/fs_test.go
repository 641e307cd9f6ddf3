//go:build !js

package main

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The file system of the worker, in Node.js: its rules, the worker's end at any
// moment, and a full disk.
func TestFileSystem(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("Node.js is missing: install it to test the worker's file system")
	}
	text, err := exec.Command(node, filepath.Join("testdata", "fs_test.cjs")).CombinedOutput()
	require.NoError(t, err, "%s", text)
	require.Equal(t, "fine\n", string(text))
}
