//go:build cgo

package wgpu

import (
	"bytes"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"bitnet/gpu/driver"
)

// needHugePages is the size of a huge page.
func needHugePages(t *testing.T) uintptr {
	t.Helper()
	page, err := hugePageSize()
	if err != nil || page == 0 {
		t.Skip("this system gives no huge pages")
	}
	return page
}

// shareMemory maps a new file in memory from an offset on, with some pages written.
func shareMemory(t *testing.T, name string, size, offset int) (memory []byte, fd int) {
	t.Helper()
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	require.NoError(t, unix.Ftruncate(fd, int64(offset+size)))
	memory, err = unix.Mmap(fd, int64(offset), size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, unix.Munmap(memory)) })
	random := rand.NewChaCha8([32]byte{1})
	for page := 0; page < size; page += 3 * os.Getpagesize() {
		random.Read(memory[page:min(page+os.Getpagesize(), size)])
	}
	return memory, fd
}

func held(t *testing.T, fd int) int64 {
	t.Helper()
	var status unix.Stat_t
	require.NoError(t, unix.Fstat(fd, &status))
	return status.Blocks * 512
}

func TestToHugePages(t *testing.T) {
	page := needHugePages(t)
	if page > moveAtOnce {
		t.Skipf("a huge page of this system has %d bytes", page)
	}
	const name = "pages of a test"
	size := 2*moveAtOnce + 5*os.Getpagesize() // in three parts, with a beginning and an end that stay
	memory, fd := shareMemory(t, name, size, 3*os.Getpagesize())
	other, otherFD := shareMemory(t, "someone else's", 4*int(page), 0)
	want, wantOther := bytes.Clone(memory), bytes.Clone(other)
	before := held(t, otherFD)

	for range 2 { // the second time, there is nothing left to do
		require.NoError(t, toHugePages("/memfd:"+name+" (deleted)"))
		require.True(t, bytes.Equal(want, memory))
		require.Less(t, held(t, fd), int64(2*page), "the file's part is given back")
	}
	for i := range memory {
		memory[i] ^= 0x5a
		want[i] ^= 0x5a
	}
	require.True(t, bytes.Equal(want, memory))
	require.True(t, bytes.Equal(wantOther, other))
	require.Equal(t, before, held(t, otherFD), "a file of another name stays")

	left, err := sharedMappings("/memfd:" + name + " (deleted)")
	require.NoError(t, err)
	for _, m := range left {
		require.Less(t, m.end-m.begin, page)
	}
}

// TestBuffersInHugePages looks at buffers that exist while later ones are created.
func TestBuffersInHugePages(t *testing.T) {
	page := needHugePages(t)
	// The devices that other tests have lost count for good, but do nothing.
	opened.Lock()
	others := opened.n
	opened.n = 0
	opened.Unlock()
	t.Cleanup(func() {
		opened.Lock()
		opened.n += others
		opened.Unlock()
	})
	dev := openFirst(t)
	defer dev.Close()
	const size = 24 << 20
	data := make([][]byte, 3)
	buffers := make([]driver.Buffer, len(data))
	for i := range data {
		b, err := dev.CreateBuffer("b", size)
		require.NoError(t, err)
		small, err := sharedMappings(lavapipeFile)
		require.NoError(t, err)
		for _, m := range small {
			require.Less(t, m.end/page, (m.begin+page-1)/page+1, "no whole huge page is left in the file")
		}
		zero := make([]byte, size)
		require.NoError(t, dev.Read(b, 0, zero))
		require.True(t, bytes.Equal(zero, make([]byte, size)), "a new buffer is zeroed")
		data[i] = make([]byte, size)
		rand.NewChaCha8([32]byte{byte(i)}).Read(data[i])
		require.NoError(t, dev.Write(b, 0, data[i]))
		buffers[i] = b
	}
	got := make([]byte, size)
	for i := range data {
		require.NoError(t, dev.Read(buffers[i], 0, got))
		require.True(t, bytes.Equal(data[i], got), "buffer %d", i)
	}
}
