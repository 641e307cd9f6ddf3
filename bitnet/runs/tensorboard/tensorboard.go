// Package tensorboard writes event files that TensorBoard reads: records in
// TFRecord framing, each an Event of tensorflow/core/util/event.proto.
package tensorboard

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// scalar is one value of a curve.
type scalar struct {
	Tag   string
	Value float64 // kept as float32
}

// writer appends to one event file. Each call is one write of the file, so that
// a reader sees whole events but for a last one that a kill cut.
type writer struct{ f *os.File }

// create begins an event file in dir, which it makes if need be. What earlier
// files there say of steps from step on is taken back.
func create(dir string, step int64) (*writer, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("making room for TensorBoard events: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "host"
	}
	now := time.Now()
	// TensorBoard looks for "tfevents" in the name and reads files in the order of their names.
	name := fmt.Sprintf("events.out.tfevents.%010d.%s.%d.%09d", now.Unix(), host, os.Getpid(), now.Nanosecond())
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("making a file of TensorBoard events: %w", err)
	}
	w := &writer{f}
	if err := w.write(event(0, eventVersion, []byte("brain.Event:2"))); err != nil {
		f.Close()
		return nil, err
	}
	if err := w.Restart(step); err != nil {
		f.Close()
		return nil, err
	}
	return w, nil
}

// Field numbers and values of the protocol buffers: event.proto, summary.proto,
// tensor.proto and types.proto of TensorFlow.
const (
	eventTime, eventStep, eventVersion, eventSummary, eventSession = 1, 2, 3, 5, 7

	sessionStatus, sessionStart = 1, 1

	summaryValue                                      = 1
	valueTag, valueSimple, valueTensor, valueMetaData = 1, 2, 8, 9

	metadataPlugin, pluginName = 1, 1

	tensorType, tensorShape, tensorStrings = 1, 2, 8
	typeString                             = 7
	shapeDim, dimSize                      = 2, 1
)

// Restart takes back what was written of steps from step on.
func (w *writer) Restart(step int64) error {
	session := protowire.AppendVarint(protowire.AppendTag(nil, sessionStatus, protowire.VarintType), sessionStart)
	return w.write(event(step, eventSession, session))
}

// scalars writes values of one step.
func (w *writer) scalars(step int64, values ...scalar) error {
	var summary []byte
	for _, v := range values {
		b := appendBytes(nil, valueTag, []byte(v.Tag))
		b = protowire.AppendTag(b, valueSimple, protowire.Fixed32Type)
		b = protowire.AppendFixed32(b, math.Float32bits(float32(v.Value)))
		summary = appendBytes(summary, summaryValue, b)
	}
	return w.write(event(step, eventSummary, summary))
}

// Text writes text, which TensorBoard reads as Markdown.
func (w *writer) Text(step int64, tag, text string) error {
	dim := protowire.AppendVarint(protowire.AppendTag(nil, dimSize, protowire.VarintType), 1)
	tensor := protowire.AppendVarint(protowire.AppendTag(nil, tensorType, protowire.VarintType), typeString)
	tensor = appendBytes(tensor, tensorShape, appendBytes(nil, shapeDim, dim))
	tensor = appendBytes(tensor, tensorStrings, []byte(text))
	b := appendBytes(nil, valueTag, []byte(tag))
	b = appendBytes(b, valueTensor, tensor)
	b = appendBytes(b, valueMetaData, appendBytes(nil, metadataPlugin, appendBytes(nil, pluginName, []byte("text"))))
	return w.write(event(step, eventSummary, appendBytes(nil, summaryValue, b)))
}

// Close ends the file.
func (w *writer) Close() error { return w.f.Close() }

func event(step int64, field protowire.Number, value []byte) []byte {
	b := protowire.AppendTag(nil, eventTime, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, math.Float64bits(float64(time.Now().UnixMicro())/1e6))
	b = protowire.AppendVarint(protowire.AppendTag(b, eventStep, protowire.VarintType), uint64(step))
	return appendBytes(b, field, value)
}

func appendBytes(b []byte, field protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), value)
}

// write frames a record as TFRecord does: length, its checksum, the data, its
// checksum, all little-endian.
func (w *writer) write(data []byte) error {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	b = binary.LittleEndian.AppendUint32(b, masked(b))
	b = append(b, data...)
	b = binary.LittleEndian.AppendUint32(b, masked(data))
	if _, err := w.f.Write(b); err != nil {
		return fmt.Errorf("writing TensorBoard events: %w", err)
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked is a CRC-32C, rotated and shifted so that the checksum of data that
// holds checksums is sound.
func masked(data []byte) uint32 {
	c := crc32.Checksum(data, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}
