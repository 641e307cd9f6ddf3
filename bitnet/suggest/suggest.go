// Package suggest finds the name that a mistyped word was meant to be.
package suggest

import "strings"

// DidYouMean is " (did you mean NAME?)" for the nearest of some names, or "".
func DidYouMean(word string, names []string) string {
	if meant := Nearest(word, names); meant != "" {
		return " (did you mean " + meant + "?)"
	}
	return ""
}

// Nearest is the name that a word was probably meant to be: one that begins
// with it, or the one with the fewest edits, if these are few; else "".
func Nearest(word string, names []string) string {
	best, least := "", max(len(word)/3, 2)+1
	for _, name := range names {
		if len(word) > 1 && strings.HasPrefix(name, word) {
			return name
		}
		if n := edits(word, name); n < least {
			best, least = name, n
		}
	}
	return best
}

// edits is the Levenshtein distance: how many bytes are changed, added or
// removed to make b of a.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := before
			if a[i] != b[j] {
				change++
			}
			before = row[j+1]
			row[j+1] = min(change, before+1, row[j]+1)
		}
	}
	return row[len(b)]
}
