//go:build cgo && !linux

package wgpu

const lavapipeFile = ""

func toHugePages(string) error { return nil }
