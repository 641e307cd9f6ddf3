// Package shard keeps the token ids of a corpus in files that are mapped into
// memory: Prepare makes them from text, a Loader gives training its batches.
//
// A folder of shards holds manifest.json and, for each shard k, train-k.shard
// and val-k.shard. Documents whose hash is below a threshold are for validation:
// they are in the val files and in no train file. The same inputs, options and
// tokenizer make the same bytes, on any number of cores and however often the
// work was stopped. Making and loading may overlap: a Loader waits for a shard
// that is not finished.
package shard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"bitnet/data/atomicfile"
	"bitnet/data/mapped"
)

// The layout of a shard file, all numbers little-endian:
//
//	  0  magic "BITNETTK"
//	  8  u32 version, 1
//	 12  u32 width of an id in bytes, 2 or 4
//	 16  u32 vocabulary
//	 20  u32 CRC-32C of everything after the header
//	 24  u64 ids
//	 32  u64 documents
//	 40  hash of the tokenizer, ASCII, filled up with zeros
//	124  u32 CRC-32C of the header before this field
//	128  ids, filled up with zeros to a multiple of 4 bytes
//	     u32 for each document: the index after its last id
const (
	magic      = "BITNETTK"
	version    = 1
	headerSize = 128
	hashSize   = 84
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// widthOf is how many bytes an id of a vocabulary takes.
func widthOf(vocab int) int {
	if vocab <= 1<<16 {
		return 2
	}
	return 4
}

type head struct {
	width     int
	vocab     uint32
	crc       uint32
	ids       int64
	documents int64
	tokenizer string
}

func (h *head) size() int64 {
	return headerSize + (h.ids*int64(h.width)+3)/4*4 + 4*h.documents
}

func (h *head) encode() []byte {
	b := make([]byte, headerSize)
	copy(b, magic)
	le := binary.LittleEndian
	le.PutUint32(b[8:], version)
	le.PutUint32(b[12:], uint32(h.width))
	le.PutUint32(b[16:], h.vocab)
	le.PutUint32(b[20:], h.crc)
	le.PutUint64(b[24:], uint64(h.ids))
	le.PutUint64(b[32:], uint64(h.documents))
	copy(b[40:40+hashSize], h.tokenizer)
	le.PutUint32(b[124:], crc32.Checksum(b[:124], castagnoli))
	return b
}

func decodeHead(b []byte, size int64) (*head, error) {
	le := binary.LittleEndian
	switch {
	case len(b) < headerSize || string(b[:8]) != magic:
		return nil, errors.New("not a token shard")
	case le.Uint32(b[8:]) != version:
		return nil, fmt.Errorf("the shard has version %d, and this program reads version %d; prepare the data again", le.Uint32(b[8:]), version)
	case le.Uint32(b[124:]) != crc32.Checksum(b[:124], castagnoli):
		return nil, errors.New("the header is damaged")
	}
	h := &head{
		width: int(le.Uint32(b[12:])), vocab: le.Uint32(b[16:]), crc: le.Uint32(b[20:]),
		ids: int64(le.Uint64(b[24:])), documents: int64(le.Uint64(b[32:])),
		tokenizer: strings.TrimRight(string(b[40:40+hashSize]), "\x00"),
	}
	const most = 1 << 32
	if h.width != 2 && h.width != 4 || h.ids < 0 || h.ids >= most || h.documents < 0 || h.documents >= most || h.size() != size {
		return nil, fmt.Errorf("%d ids of %d bytes and %d documents do not make the file's %d bytes: it was cut or damaged", h.ids, h.width, h.documents, size)
	}
	return h, nil
}

// Shard is one mapped file of token ids.
type Shard struct {
	file *mapped.File
	head
}

// Open maps a shard and checks all of it.
func Open(path string) (s *Shard, err error) {
	file, err := mapped.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening a token shard: %w", err)
	}
	defer func() {
		if err != nil {
			file.Close()
			s, err = nil, fmt.Errorf("%s: %w; delete the file and prepare the data again", path, err)
		}
	}()
	defer mapped.Catch(&err, path, debug.SetPanicOnFault(true))
	b := file.Bytes()
	h, err := decodeHead(b, int64(len(b)))
	if err != nil {
		return nil, err
	}
	if crc32.Checksum(b[headerSize:], castagnoli) != h.crc {
		return nil, errors.New("the checksum is wrong: the file is damaged")
	}
	s = &Shard{file, *h}
	last := int64(0)
	for i := range s.documents {
		end := int64(s.end(i))
		if end < last || end > s.ids {
			return nil, fmt.Errorf("document %d ends at id %d of %d", i, end, s.ids)
		}
		last = end
	}
	if s.documents > 0 && last != s.ids {
		return nil, fmt.Errorf("%d ids belong to no document", s.ids-last)
	}
	return s, nil
}

// Len is the number of ids.
func (s *Shard) Len() int64 { return s.ids }

// Documents is the number of documents.
func (s *Shard) Documents() int64 { return s.documents }

// Tokenizer is the hash of the tokenizer whose ids these are.
func (s *Shard) Tokenizer() string { return s.tokenizer }

func (s *Shard) raw() []byte {
	return s.file.Bytes()[headerSize : headerSize+s.ids*int64(s.width)]
}

func (s *Shard) end(i int64) uint32 {
	b := s.file.Bytes()
	return binary.LittleEndian.Uint32(b[int64(len(b))-4*(s.documents-i):])
}

// Document appends the ids of document i, 0 <= i < Documents, to dst.
func (s *Shard) Document(dst []uint32, i int64) (ids []uint32, err error) {
	if i < 0 || i >= s.documents {
		return dst, fmt.Errorf("%s: there is no document %d, only %d documents", s.file.Path(), i, s.documents)
	}
	defer mapped.Catch(&err, s.file.Path(), debug.SetPanicOnFault(true))
	from := uint32(0)
	if i > 0 {
		from = s.end(i - 1)
	}
	raw := s.raw()
	for at := int64(from); at < int64(s.end(i)); at++ {
		if s.width == 2 {
			dst = append(dst, uint32(binary.LittleEndian.Uint16(raw[2*at:])))
		} else {
			dst = append(dst, binary.LittleEndian.Uint32(raw[4*at:]))
		}
	}
	return dst, nil
}

// Close ends the mapping.
func (s *Shard) Close() error { return s.file.Close() }

// writer makes a shard file, document by document, under a temporary name.
type writer struct {
	path string
	file *os.File
	buf  []byte
	head head
	ends []byte
}

func create(path string, vocab int, tokenizer string) (*writer, error) {
	if len(tokenizer) > hashSize {
		return nil, fmt.Errorf("a tokenizer hash of %d bytes is too long", len(tokenizer))
	}
	f, err := os.Create(path + ".tmp")
	if err != nil {
		return nil, fmt.Errorf("writing a token shard: %w", err)
	}
	w := &writer{path: path, file: f, head: head{width: widthOf(vocab), vocab: uint32(vocab), tokenizer: tokenizer}}
	if _, err := f.Seek(headerSize, io.SeekStart); err != nil {
		w.abandon()
		return nil, fmt.Errorf("writing a token shard: %w", err)
	}
	return w, nil
}

// add writes the ids of one document.
func (w *writer) add(ids []uint32) error {
	if w.head.ids+int64(len(ids)) >= 1<<32 {
		return fmt.Errorf("writing %s: more than 2^32 ids", w.path)
	}
	if w.head.width == 2 {
		for _, id := range ids {
			w.buf = binary.LittleEndian.AppendUint16(w.buf, uint16(id))
		}
	} else {
		for _, id := range ids {
			w.buf = binary.LittleEndian.AppendUint32(w.buf, id)
		}
	}
	w.head.ids += int64(len(ids))
	w.head.documents++
	w.ends = binary.LittleEndian.AppendUint32(w.ends, uint32(w.head.ids))
	if len(w.buf) < 1<<20 {
		return nil
	}
	return w.flush()
}

func (w *writer) flush() error {
	w.head.crc = crc32.Update(w.head.crc, castagnoli, w.buf)
	_, err := w.file.Write(w.buf)
	w.buf = w.buf[:0]
	if err != nil {
		return fmt.Errorf("writing %s: %w", w.path, err)
	}
	return nil
}

// finish gives the file its name.
func (w *writer) finish() error {
	w.buf = append(w.buf, make([]byte, -w.head.ids*int64(w.head.width)&3)...)
	w.buf = append(w.buf, w.ends...)
	err := w.flush()
	if err == nil {
		_, err = w.file.WriteAt(w.head.encode(), 0)
	}
	err = errors.Join(err, w.file.Sync(), w.file.Close())
	if err == nil {
		err = atomicfile.Rename(w.path+".tmp", w.path)
	}
	if err != nil {
		os.Remove(w.path + ".tmp")
		return fmt.Errorf("writing %s: %w", w.path, err)
	}
	return atomicfile.SyncDir(filepath.Dir(w.path))
}

// abandon drops what was written.
func (w *writer) abandon() {
	w.file.Close()
	os.Remove(w.path + ".tmp")
}
