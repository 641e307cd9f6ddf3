//go:build cgo

package wgpu

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// transparent is where Linux says how it gives out huge pages.
const transparent = "/sys/kernel/mm/transparent_hugepage"

// lavapipeFile is the name of the file in memory whose parts are lavapipe's buffers.
const lavapipeFile = "/memfd:allocation fd (deleted)"

// moveAtOnce bounds how much is held twice while it moves, in bytes.
const moveAtOnce = 64 << 20

// toHugePages moves the memory of lavapipe's buffers into huge pages, at the same
// addresses, where the system has them. Nothing may use the buffers meanwhile.
//
// Lavapipe's buffers are parts of a file in memory, which Linux keeps in small pages unless
// the administrator asks for more (shmem_enabled). On a virtual machine whose host is busy, a
// step then waits longer for addresses to be translated than for the memory itself. Memory of no
// file gets huge pages on request in most systems. Lavapipe knows its buffers by their
// addresses alone, and the file's part is not looked at again until it is a new buffer's.
func toHugePages(file string) error {
	size, err := hugePageSize()
	if err != nil || size == 0 {
		return err
	}
	files, err := openMemoryFiles(file)
	if err != nil {
		return err
	}
	for _, f := range files {
		defer f.Close()
	}
	mappings, err := sharedMappings(file)
	if err != nil {
		return err
	}
	for _, m := range mappings {
		f, ok := files[m.inode]
		if !ok {
			continue
		}
		begin, end := (m.begin+size-1)/size*size, m.end/size*size
		for begin < end {
			n := min(end-begin, max(moveAtOnce/size, 1)*size)
			if err := toAnonymous(f, begin, m.offset+int64(begin-m.begin), n, size); err != nil {
				return fmt.Errorf("move %d bytes into huge pages: %w", n, err)
			}
			begin += n
		}
	}
	return nil
}

// hugePageSize is the size in bytes of the pages that Linux calls huge; 0 where it is set
// to give none.
func hugePageSize() (uintptr, error) {
	enabled, err := os.ReadFile(filepath.Join(transparent, "enabled"))
	if err != nil || bytes.Contains(enabled, []byte("[never]")) {
		return 0, err
	}
	text, err := os.ReadFile(filepath.Join(transparent, "hpage_pmd_size"))
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
	return uintptr(n), err
}

// openMemoryFiles opens this process's files in memory of a name, by their inodes.
func openMemoryFiles(name string) (map[uint64]*os.File, error) {
	const open = "/proc/self/fd"
	entries, err := os.ReadDir(open)
	if err != nil {
		return nil, err
	}
	files := map[uint64]*os.File{}
	for _, e := range entries {
		path := filepath.Join(open, e.Name())
		if target, err := os.Readlink(path); err != nil || target != name {
			continue
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		var status unix.Stat_t
		if unix.Fstat(int(f.Fd()), &status) != nil || files[status.Ino] != nil {
			f.Close()
			continue
		}
		files[status.Ino] = f
	}
	return files, nil
}

// mapping is where a part of a file is in memory: addresses, and an offset in the file.
type mapping struct {
	begin, end uintptr
	offset     int64
	inode      uint64
}

// sharedMappings lists where files of a name are in this process's memory, to read and write.
func sharedMappings(name string) ([]mapping, error) {
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return nil, err
	}
	defer maps.Close()
	var found []mapping
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		line, isFile := strings.CutSuffix(lines.Text(), name)
		var m mapping
		var access, device string
		if !isFile {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x %s %x %s %d", &m.begin, &m.end, &access, &m.offset, &device, &m.inode); err != nil || access != "rw-s" {
			continue
		}
		found = append(found, m)
	}
	return found, lines.Err()
}

// toAnonymous replaces n bytes at an address, which are the file's from an offset on, by
// memory of no file with the same content, and gives the file's part back to the system.
// Address and n are multiples of the size of a huge page.
func toAnonymous(f *os.File, address uintptr, offset int64, n, page uintptr) error {
	const readWrite = unix.PROT_READ | unix.PROT_WRITE
	// One page more, for a beginning at a multiple of a page.
	room, _, errno := unix.Syscall6(unix.SYS_MMAP, 0, n+page, readWrite, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS, ^uintptr(0), 0)
	if errno != 0 {
		return errno
	}
	fresh := (room + page - 1) / page * page
	if fresh > room {
		unix.Syscall(unix.SYS_MUNMAP, room, fresh-room, 0)
	}
	unix.Syscall(unix.SYS_MUNMAP, fresh+n, room+page-fresh, 0)

	_, _, errno = unix.Syscall(unix.SYS_MADVISE, fresh, n, unix.MADV_HUGEPAGE)
	var err error
	if errno != 0 {
		err = errno
	} else {
		err = readParts(f, fresh, offset, n)
	}
	if err == nil {
		if _, _, errno = unix.Syscall6(unix.SYS_MREMAP, fresh, n, n, unix.MREMAP_MAYMOVE|unix.MREMAP_FIXED, address, 0); errno != 0 {
			err = errno
		}
	}
	if err != nil {
		unix.Syscall(unix.SYS_MUNMAP, fresh, n, 0)
		return err
	}
	return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, offset, int64(n))
}

// readParts reads n bytes of a file from an offset on into zeroed memory, and leaves out the
// parts that were never written, so that they take no memory.
func readParts(f *os.File, memory uintptr, offset int64, n uintptr) error {
	fd := int(f.Fd())
	for at, end := offset, offset+int64(n); at < end; {
		data, err := unix.Seek(fd, at, unix.SEEK_DATA)
		if err == unix.ENXIO || err == nil && data >= end {
			return nil
		}
		if err != nil {
			return err
		}
		if at, err = unix.Seek(fd, data, unix.SEEK_HOLE); err != nil {
			return err
		}
		for at = min(at, end); data < at; {
			got, _, errno := unix.Syscall6(unix.SYS_PREAD64, uintptr(fd), memory+uintptr(data-offset), uintptr(at-data), uintptr(data), 0, 0)
			if errno == unix.EINTR {
				continue
			}
			if errno != 0 {
				return errno
			}
			if got == 0 {
				return fmt.Errorf("the file of the adapter's memory ends early")
			}
			data += int64(got)
		}
	}
	return nil
}
