package tensorboard

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// schema is the part of TensorFlow's event.proto, summary.proto and
// tensor.proto that is written here.
const schema = `
name: "event.proto" package: "tensorflow" syntax: "proto3"
message_type { name: "Event"
  field { name: "wall_time" number: 1 type: TYPE_DOUBLE label: LABEL_OPTIONAL }
  field { name: "step" number: 2 type: TYPE_INT64 label: LABEL_OPTIONAL }
  field { name: "file_version" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "summary" number: 5 type: TYPE_MESSAGE type_name: ".tensorflow.Summary" label: LABEL_OPTIONAL }
  field { name: "session_log" number: 7 type: TYPE_MESSAGE type_name: ".tensorflow.SessionLog" label: LABEL_OPTIONAL } }
message_type { name: "SessionLog" field { name: "status" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL } }
message_type { name: "Summary"
  field { name: "value" number: 1 type: TYPE_MESSAGE type_name: ".tensorflow.Value" label: LABEL_REPEATED } }
message_type { name: "Value"
  field { name: "tag" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "simple_value" number: 2 type: TYPE_FLOAT label: LABEL_OPTIONAL }
  field { name: "tensor" number: 8 type: TYPE_MESSAGE type_name: ".tensorflow.TensorProto" label: LABEL_OPTIONAL }
  field { name: "metadata" number: 9 type: TYPE_MESSAGE type_name: ".tensorflow.SummaryMetadata" label: LABEL_OPTIONAL } }
message_type { name: "SummaryMetadata"
  field { name: "plugin_data" number: 1 type: TYPE_MESSAGE type_name: ".tensorflow.PluginData" label: LABEL_OPTIONAL } }
message_type { name: "PluginData" field { name: "plugin_name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL } }
message_type { name: "TensorProto"
  field { name: "dtype" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
  field { name: "tensor_shape" number: 2 type: TYPE_MESSAGE type_name: ".tensorflow.TensorShapeProto" label: LABEL_OPTIONAL }
  field { name: "string_val" number: 8 type: TYPE_BYTES label: LABEL_REPEATED } }
message_type { name: "TensorShapeProto"
  field { name: "dim" number: 2 type: TYPE_MESSAGE type_name: ".tensorflow.Dim" label: LABEL_REPEATED } }
message_type { name: "Dim" field { name: "size" number: 1 type: TYPE_INT64 label: LABEL_OPTIONAL } }
`

func eventDescriptor(t *testing.T) protoreflect.MessageDescriptor {
	var file descriptorpb.FileDescriptorProto
	require.NoError(t, prototext.Unmarshal([]byte(schema), &file))
	d, err := protodesc.NewFile(&file, nil)
	require.NoError(t, err)
	return d.Messages().ByName("Event")
}

// crc32c is bit by bit, unlike the one that is tested.
func crc32c(data []byte) uint32 {
	c := ^uint32(0)
	for _, b := range data {
		c ^= uint32(b)
		for range 8 {
			if c&1 == 1 {
				c = c>>1 ^ 0x82f63b78
			} else {
				c >>= 1
			}
		}
	}
	return ^c
}

// records takes a TFRecord file apart and checks its sums.
func records(t *testing.T, path string) [][]byte {
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	sum := func(data, stored []byte) {
		unmasked := binary.LittleEndian.Uint32(stored) - 0xa282ead8
		require.Equal(t, crc32c(data), unmasked>>17|unmasked<<15)
	}
	var out [][]byte
	for len(raw) > 0 {
		n := binary.LittleEndian.Uint64(raw)
		sum(raw[:8], raw[8:12])
		sum(raw[12:12+n], raw[12+n:16+n])
		out = append(out, raw[12:12+n])
		raw = raw[16+n:]
	}
	return out
}

// written makes an event file with some of everything.
func written(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), "run")
	w, err := create(dir, 1)
	require.NoError(t, err)
	for step := int64(1); step <= 5; step++ {
		require.NoError(t, w.scalars(step, scalar{"train/loss", 3.5 / float64(step)}, scalar{"train/nan", math.NaN()}))
	}
	require.NoError(t, w.Text(5, "samples/0", "    25 + 17 = 42"))
	require.NoError(t, w.Restart(4))
	require.NoError(t, w.scalars(4, scalar{"train/loss", 0.25}))
	require.NoError(t, w.Close())
	return dir
}

func TestEvents(t *testing.T) {
	require.EqualValues(t, 0xe3069283, crc32c([]byte("123456789")), "the check value of CRC-32C")
	files, err := filepath.Glob(filepath.Join(written(t), "events.out.tfevents.*"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	d := eventDescriptor(t)
	var got []string
	last := 0.0
	for _, r := range records(t, files[0]) {
		m := dynamicpb.NewMessage(d)
		require.NoError(t, proto.UnmarshalOptions{}.Unmarshal(r, m))
		require.Empty(t, m.GetUnknown())
		at := m.Get(d.Fields().ByName("wall_time")).Float()
		require.GreaterOrEqual(t, at, last)
		require.Greater(t, at, 1.7e9, "seconds since 1970")
		last = at
		m.Clear(d.Fields().ByName("wall_time"))
		b, err := prototext.MarshalOptions{}.Marshal(m)
		require.NoError(t, err)
		// prototext varies its spaces on purpose.
		again := dynamicpb.NewMessage(d)
		require.NoError(t, prototext.Unmarshal(b, again))
		require.True(t, proto.Equal(m, again))
		got = append(got, fmt.Sprint(m.Get(d.Fields().ByName("step")).Int(), what(m)))
	}
	require.Equal(t, []string{
		"0 brain.Event:2", "1 start",
		"1 train/loss=3.5 train/nan=NaN", "2 train/loss=1.75 train/nan=NaN", "3 train/loss=1.1666666 train/nan=NaN", "4 train/loss=0.875 train/nan=NaN", "5 train/loss=0.7 train/nan=NaN",
		"5 samples/0=text:    25 + 17 = 42", "4 start", "4 train/loss=0.25",
	}, got)
}

// what says in short what an event holds.
func what(m protoreflect.Message) (s string) {
	get := func(m protoreflect.Message, name protoreflect.Name) protoreflect.Value {
		return m.Get(m.Descriptor().Fields().ByName(name))
	}
	if v := get(m, "file_version").String(); v != "" {
		return " " + v
	}
	if get(get(m, "session_log").Message(), "status").Int() == 1 {
		return " start"
	}
	values := get(get(m, "summary").Message(), "value").List()
	for i := range values.Len() {
		v := values.Get(i).Message()
		s += " " + get(v, "tag").String() + "="
		if tensor := get(v, "tensor").Message(); tensor.IsValid() {
			texts := get(tensor, "string_val").List()
			s += get(get(get(v, "metadata").Message(), "plugin_data").Message(), "plugin_name").String() + ":" + string(texts.Get(0).Bytes())
		} else {
			s += fmt.Sprint(float32(get(v, "simple_value").Float()))
		}
	}
	return s
}

// TensorBoard's own reader sees the same.
func TestInteropTensorBoard(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil || exec.Command(python, "-c", "import tensorboard").Run() != nil {
		t.Skip("Python has no package tensorboard: pip install tensorboard lets this test run")
	}
	script := `
import sys, json
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
e = EventAccumulator(sys.argv[1]); e.Reload()
scalars = [[s.step, s.value] for s in e.scalars("train/loss")]
texts = [t.tensor_proto.string_val[0].decode() for t in e.Tensors("samples/0")]
print(json.dumps({"scalars": scalars, "texts": texts}))`
	out, err := exec.Command(python, "-c", script, written(t)).Output()
	require.NoError(t, err)
	var got struct {
		Scalars [][2]float64 `json:"scalars"`
		Texts   []string     `json:"texts"`
	}
	require.NoError(t, json.Unmarshal(out, &got))
	require.Len(t, got.Scalars, 4, "what was taken back is gone")
	require.Equal(t, [2]float64{4, 0.25}, got.Scalars[3])
}
