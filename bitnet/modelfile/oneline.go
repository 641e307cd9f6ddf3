package modelfile

import "strings"

// oneLine turns an error message of several lines into one line.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
