package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The messages of docs/troubleshooting.md are those of the source.
func TestTroubleshootingQuotesRealMessages(t *testing.T) {
	root := filepath.Join("..", "..")
	page, err := os.ReadFile(filepath.Join(root, "docs", "troubleshooting.md"))
	require.NoError(t, err)
	var source strings.Builder
	verb := regexp.MustCompile(`%[-+#0-9.]*[a-zA-Z]`)
	for _, dir := range []string{"bitnet", "cmd", "data", "gpu", "graph"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			source.WriteString(verb.ReplaceAllString(string(text), "..."))
			return err
		})
		require.NoError(t, err)
	}
	messages := regexp.MustCompile("(?m)^### `(.*)`$").FindAllStringSubmatch(string(page), -1)
	require.Greater(t, len(messages), 20)
	for _, m := range messages {
		for _, part := range strings.Split(m[1], "...") {
			require.True(t, strings.Contains(source.String(), strings.TrimSpace(part)), "no message holds %q of %q", part, m[1])
		}
	}
}
