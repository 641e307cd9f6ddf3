//go:build !js

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "this program runs in a browser: make web builds the page, and bitnet web shows it")
	os.Exit(2)
}
