//go:build !js

package browser

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A browser that owes an answer is reminded, in Node.js with a GPU that is made up.
func TestWatch(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("Node.js is missing: install it to test gpu.js")
	}
	text, err := exec.Command(node, filepath.Join("testdata", "watch_test.cjs")).CombinedOutput()
	require.NoError(t, err, "%s", text)
	require.Equal(t, "fine\n", string(text))
}
