package modelfile

import "strings"

// oneLine makes an error message of several lines one.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
