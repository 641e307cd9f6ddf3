//go:build !windows

package main

// prepareConsole has nothing to do: terminals understand colours.
func prepareConsole() {}
