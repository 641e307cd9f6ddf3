package dawn

import (
	"bytes"
	"encoding/binary"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// pipe is a child that has sent all that it will ever send.
func pipe(sent []byte) *process {
	p := &process{
		cmd: exec.Command("true"), // which is never started
		in:  nowhere{}, out: io.NopCloser(bytes.NewReader(sent)), words: &tail{},
	}
	p.watch = time.AfterFunc(time.Hour, p.strike)
	p.watch.Stop()
	return p
}

type nowhere struct{}

func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) Close() error                { return nil }

func answerOf(state uint32, payload string) []byte {
	b := binary.LittleEndian.AppendUint32(nil, state)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	return append(b, payload...)
}

// Whatever comes out of the child's pipe is an answer or an error in one line; a
// pipe that has failed once fails from then on.
func FuzzAnswers(f *testing.F) {
	f.Add(answerOf(stateOK, "four"), 4)
	f.Add(append(answerOf(stateAlive, ""), answerOf(stateOK, "")...), 0)
	f.Add(answerOf(stateCompile, `{"message":"a\nb"}`), 0)
	f.Add(answerOf(stateLost, "- While x\nlost"), 8)
	f.Add([]byte("Warning: this is no answer"), 1)
	f.Add([]byte{0, 0, 0, 0, 255, 255, 255, 255, 1}, 1)
	f.Fuzz(func(t *testing.T, sent []byte, room int) {
		dst := make([]byte, max(room, 0)%64)
		p := pipe(sent)
		for range 4 {
			answer, err := p.ask("try", message{op: opWait}, nil, dst)
			if err != nil {
				if strings.Contains(err.Error(), "\n") {
					t.Fatalf("%q gives %q", sent, err)
				}
				if p.failed != nil {
					if _, again := p.ask("try", message{op: opWait}, nil, dst); again == nil {
						t.Fatalf("%q fails with %v, and not from then on", sent, err)
					}
					return
				}
				continue
			}
			if len(answer) > len(sent) {
				t.Fatalf("%q gives %d bytes", sent, len(answer))
			}
		}
	})
}
