package dawn

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"bitnet/gpu/driver"
)

// Operations of messages and states of answers, as in child.js.
const (
	opOpen = iota + 1
	opBuffer
	opFreeBuffer
	opWrite
	opRead
	opKernel
	opProgram
	opFreeProgram
	opRun
	opWait
	opTime
	opList
)

const (
	stateOK = iota
	stateInvalid
	stateOutOfMemory
	stateLost
	stateCompile
	stateAlive
)

const (
	headSize   = 24
	answerSize = 8
)

// silence is how long the child may send nothing; while it waits for the device
// it sends a sign of life each second.
var silence = 2 * time.Minute

// mostWords is how long an answer may be that is not what was asked to be read: a
// list of adapters, the message of an error.
const mostWords = 16 << 20

// message is the head of a message to the child.
type message struct {
	op, id uint32
	offset uint64
	count  uint32 // bytes to read
}

// process is a child that runs child.js. After its first failure every call
// returns that failure again.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   io.ReadCloser
	words *tail
	exit  error // of the child, once it has ended

	head    [headSize]byte
	answer  [answerSize]byte
	watch   *time.Timer
	strikes atomic.Int32
	hung    atomic.Bool
	failed  error
	why     string // the child ended
}

func start() (*process, error) {
	node, module, err := find()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(node, "-e", childSource, module), words: &tail{}}
	p.cmd.Stderr = p.words
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("dawn: start %s: %w", node, err)
	}
	if p.out, err = p.cmd.StdoutPipe(); err != nil {
		return nil, fmt.Errorf("dawn: start %s: %w", node, err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("dawn: start %s: %w: install Node.js 18 or newer, or use --backend wgpu", node, err)
	}
	p.watch = time.AfterFunc(time.Hour, p.strike)
	p.watch.Stop()
	return p, nil
}

// strike is called after half of the silence that is allowed. It ends the child at
// the second call: the first may come after this process was stopped for a while.
func (p *process) strike() {
	if p.strikes.Add(1) < 2 {
		p.watch.Reset(silence / 2)
		return
	}
	p.hung.Store(true)
	p.cmd.Process.Kill()
}

func (p *process) watchOn() {
	p.strikes.Store(0)
	p.watch.Reset(silence / 2)
}

// ask sends a message and returns the answer's payload: in dst, which it has to fill,
// if that is not nil.
func (p *process) ask(doing string, m message, data, dst []byte) ([]byte, error) {
	if err := p.send(m, data); err != nil {
		return nil, p.lost(doing, err)
	}
	return p.receive(doing, dst)
}

// tell sends a message that is not answered.
func (p *process) tell(doing string, m message, data []byte) error {
	if err := p.send(m, data); err != nil {
		return p.lost(doing, err)
	}
	return nil
}

func (p *process) send(m message, data []byte) error {
	if p.failed != nil {
		return p.failed
	}
	b := p.head[:]
	binary.LittleEndian.PutUint32(b, m.op)
	binary.LittleEndian.PutUint32(b[4:], m.id)
	binary.LittleEndian.PutUint64(b[8:], m.offset)
	binary.LittleEndian.PutUint32(b[16:], m.count)
	binary.LittleEndian.PutUint32(b[20:], uint32(len(data)))
	p.watchOn()
	defer p.watch.Stop()
	if _, err := p.in.Write(b); err != nil {
		return err
	}
	if len(data) == 0 {
		return nil
	}
	_, err := p.in.Write(data)
	return err
}

func (p *process) receive(doing string, dst []byte) ([]byte, error) {
	defer p.watch.Stop()
	for {
		p.watchOn()
		if _, err := io.ReadFull(p.out, p.answer[:]); err != nil {
			return nil, p.lost(doing, err)
		}
		state, size := binary.LittleEndian.Uint32(p.answer[:]), int(binary.LittleEndian.Uint32(p.answer[4:]))
		if state == stateAlive {
			continue
		}
		if state > stateAlive {
			return nil, p.lost(doing, fmt.Errorf("something other than package dawn wrote to the child's standard output: %q", p.answer))
		}
		switch {
		case state == stateOK && dst != nil && size != len(dst):
			return nil, p.lost(doing, fmt.Errorf("it sent %d bytes instead of %d", size, len(dst)))
		case size > len(dst) && size > mostWords:
			return nil, p.lost(doing, fmt.Errorf("it sent an answer of %d bytes", size))
		case state != stateOK || dst == nil:
			dst = make([]byte, size)
		}
		dst = dst[:size]
		if _, err := io.ReadFull(p.out, dst); err != nil {
			return nil, p.lost(doing, err)
		}
		return dst, p.fault(doing, state, dst)
	}
}

// fault turns an answer into an error.
func (p *process) fault(doing string, state uint32, answer []byte) error {
	switch state {
	case stateOK:
		return nil
	case stateOutOfMemory:
		return fmt.Errorf("%s: %w", doing, driver.ErrOutOfMemory)
	case stateLost:
		p.failed = fmt.Errorf("%w (%s)", driver.ErrDeviceLost, oneLine(string(answer)))
		return fmt.Errorf("%s: %w", doing, p.failed)
	case stateCompile:
		e := &driver.CompileError{}
		if err := json.Unmarshal(answer, e); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		e.Message = oneLine(e.Message)
		return e
	}
	return fmt.Errorf("%s: %s", doing, oneLine(string(answer)))
}

// lost is the error of a broken pipe: it says why the child ended.
func (p *process) lost(doing string, err error) error {
	if p.failed == nil {
		p.end(5 * time.Second)
		switch {
		case p.hung.Load():
			p.why = "the Dawn process gave no sign of life and was ended"
		case p.exit != nil:
			p.why = "the Dawn process ended: " + p.exit.Error()
		case errors.Is(err, io.EOF):
			p.why = "the Dawn process ended"
		default:
			p.why = err.Error()
		}
		if said := p.words.last(); said != "" {
			p.why += "; " + said
		}
		p.failed = fmt.Errorf("%w (%s)", driver.ErrDeviceLost, p.why)
	}
	return fmt.Errorf("%s: %w", doing, p.failed)
}

// close lets the child exit by itself.
func (p *process) close() {
	if p.failed == nil {
		p.failed = errors.New("the device is closed")
		p.end(10 * time.Second)
	}
}

// end closes the child's input, which makes it exit, and kills it if it does not
// exit in time.
func (p *process) end(patience time.Duration) {
	p.watch.Stop()
	p.in.Close()
	kill := time.AfterFunc(patience, func() { p.cmd.Process.Kill() })
	io.Copy(io.Discard, p.out)
	p.exit = p.cmd.Wait()
	kill.Stop()
}

// tail keeps the end of what the child writes to its standard error.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if n := len(t.text) - 4096; n > 0 {
		t.text = append(t.text[:0], t.text[n:]...)
	}
	return len(b), nil
}

// last returns the last line that is not a warning.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	said := ""
	for _, line := range strings.Split(string(t.text), "\n") {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "Warning:") {
			said = line
		}
	}
	return said
}

// oneLine drops blank lines and the lines that say where in Dawn an error was
// noticed.
func oneLine(message string) string {
	var out []string
	for _, line := range strings.Split(message, "\n") {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "- While ") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "; ")
}
