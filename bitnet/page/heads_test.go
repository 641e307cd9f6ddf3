package page

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The heads of the pages are alike: what one has to say in it the others say, too, in
// the same order. Lines that only one page needs may come in between.
func TestHeads(t *testing.T) {
	want := []string{
		`<html lang="en">`, `<meta charset="utf-8">`,
		`<meta name="viewport" content="width=device-width, initial-scale=1, interactive-widget=resizes-content">`,
		`<meta name="color-scheme" content="light dark">`, `<meta name="referrer" content="no-referrer">`, `<meta name="description" content="`,
		`<title>bitnet `, `<link rel="icon" href="icon.svg" type="image/svg+xml">`, `<link rel="stylesheet" href="palette.css">`,
		`<link rel="stylesheet" href="style.css">`, `<script type="module" src="theme.js"></script>`, `<script type="module" src="app.js"></script>`, `</head>`,
	}
	folder := regexp.MustCompile(`(href|src)="page/`) // of bitnet serve, whose files are in one
	for _, path := range []string{"../dash/page", "../serve/page", "../../cmd/web/page"} {
		text, err := os.ReadFile(filepath.Join(filepath.FromSlash(path), "index.html"))
		require.NoError(t, err)
		rest := folder.ReplaceAllString(string(text), `$1="`)
		for _, line := range want {
			_, after, found := strings.Cut(rest, "\n"+line)
			require.True(t, found, "%s lacks, or has in another order: %s", path, line)
			rest = "\n" + after
		}
	}
}
