//go:build !unix || !cgo

package cluster

import (
	"fmt"
	"runtime"
)

// openMPI fails: this build cannot load MPI.
func openMPI([]string) (transport, error) {
	return nil, fmt.Errorf("this build for %s cannot load MPI: build bitnet with cgo for Linux, macOS or a BSD", runtime.GOOS)
}
