//go:build js

package browser

import "strings"

// oneLine drops blank lines and the lines that say where in the browser an error
// was noticed.
func oneLine(message string) string {
	var out []string
	for _, line := range strings.Split(message, "\n") {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "- While ") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "; ")
}
