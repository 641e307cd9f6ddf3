//go:build !js

package text

import (
	"io"

	"github.com/klauspost/compress/zstd"
)

// unpackZstd reads a zstd stream; done frees what it holds.
func unpackZstd(r io.Reader) (plain io.Reader, done func(), err error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, nil, err
	}
	return z, z.Close, nil
}
