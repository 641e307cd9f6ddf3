//go:build unix && cgo

package cluster

// #cgo linux LDFLAGS: -ldl
// #include <stdlib.h>
// #include "mpi.h"
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unsafe"
)

// mpi is the transport through the system's MPI library. All of it is called by
// one locked thread.
type mpi struct{ me, n int }

// openMPI loads the first of several libraries that is there and joins the
// processes that the launcher started. The calling goroutine must be locked to
// its thread.
func openMPI(libraries []string) (transport, error) {
	var failed []string
	for _, name := range libraries {
		path := C.CString(name)
		why := C.mpi_load(path)
		C.free(unsafe.Pointer(path))
		if why != nil {
			failed = append(failed, C.GoString(why))
			continue
		}
		m := &mpi{}
		var rank, size C.int
		if err := mpiError("joining the other processes", C.mpi_init(&rank, &size)); err != nil {
			return nil, err
		}
		m.me, m.n = int(rank), int(size)
		return m, nil
	}
	return nil, errors.New(strings.Join(failed, "; "))
}

// mpiError says what a code means.
func mpiError(doing string, code C.int) error {
	if code == 0 {
		return nil
	}
	var text [1024]C.char
	C.mpi_error_text(code, &text[0])
	return fmt.Errorf("%s: %s", doing, strings.Join(strings.Fields(C.GoString(&text[0])), " "))
}

func (m *mpi) rank() int { return m.me }
func (m *mpi) size() int { return m.n }

// name is the first line of what the library says of itself.
func (m *mpi) name() string {
	var text [8192]C.char
	C.mpi_library_text(&text[0])
	line, _, _ := strings.Cut(C.GoString(&text[0]), "\n")
	line, _, _ = strings.Cut(line, ",")
	return strings.Join(strings.Fields(line), " ")
}

// mpiRequest keeps the memory of a message in place until it is done.
type mpiRequest struct {
	handle C.intptr_t
	pin    runtime.Pinner
	doing  string
	peer   int
}

func (m *mpi) send(to, tag int, data []byte) (request, error) {
	r := &mpiRequest{doing: "sending to", peer: to}
	r.pin.Pin(unsafe.SliceData(data))
	return r, m.started(r, C.mpi_isend(unsafe.Pointer(unsafe.SliceData(data)), C.int(len(data)), C.int(to), C.int(tag), &r.handle))
}

func (m *mpi) receive(from, tag int, data []byte) (request, error) {
	r := &mpiRequest{doing: "receiving from", peer: from}
	r.pin.Pin(unsafe.SliceData(data))
	return r, m.started(r, C.mpi_irecv(unsafe.Pointer(unsafe.SliceData(data)), C.int(len(data)), C.int(from), C.int(tag), &r.handle))
}

func (m *mpi) started(r *mpiRequest, code C.int) error {
	if code != 0 {
		r.pin.Unpin()
		return mpiError(fmt.Sprintf("%s rank %d", r.doing, r.peer), code)
	}
	return nil
}

func (r *mpiRequest) done() (bool, error) {
	var done C.int
	if code := C.mpi_test(&r.handle, &done); code != 0 {
		return false, mpiError(fmt.Sprintf("%s rank %d", r.doing, r.peer), code)
	}
	if done == 0 {
		return false, nil
	}
	r.pin.Unpin()
	return true, nil
}

func (m *mpi) abort(code int) { C.mpi_abort(C.int(code)) }

func (m *mpi) finalize() error { return mpiError("leaving the other processes", C.mpi_finalize()) }
