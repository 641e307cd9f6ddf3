//go:build !js

package mapped

import (
	"os"

	"github.com/edsrzf/mmap-go"
)

func mapFile(f *os.File, _ int) ([]byte, error) { return mmap.Map(f, mmap.RDONLY, 0) }

func unmap(data []byte) error {
	m := mmap.MMap(data)
	return m.Unmap()
}
