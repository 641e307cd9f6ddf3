package report

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"bitnet/data/printable"
)

// message is a line from the process of a part. A later Result replaces an
// earlier one.
type message struct {
	Says   string  `json:"says,omitempty"` // what was made smaller, or left out
	Result *Result `json:"result,omitempty"`
	Done   bool    `json:"done,omitempty"`
	Cut    bool    `json:"cut,omitempty"` // out of time
	Error  string  `json:"error,omitempty"`
}

// errCut is the end of a part whose time was up.
var errCut = errors.New("out of time")

// grace is how long after its time a part may take to hand over what it has.
const grace = 5 * time.Second

// run runs a part in a process of its own, which is killed where it does not
// end in time, and fills in what it found.
func (m *maker) run(ctx context.Context, req request, limit time.Duration, part *Part) error {
	ctx, cancel := context.WithTimeout(ctx, limit+grace)
	defer cancel()
	fmt.Fprintf(m.log, "\n== %s\n", part.Name)
	cmd := exec.CommandContext(ctx, m.Part[0], m.Part[1:]...)
	inGroup(cmd)
	cmd.WaitDelay = grace
	text, err := json.Marshal(req)
	if err != nil {
		return err
	}
	words := &lastWords{}
	cmd.Stdin, cmd.Stderr = strings.NewReader(string(text)+"\n"), io.MultiWriter(m.log, words)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the process of a part: %w", err)
	}
	var last message
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var line message
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			fmt.Fprintf(m.log, "%s\n", lines.Text()) // a driver's chatter
			continue
		}
		if line.Says != "" {
			part.Says = strings.TrimPrefix(part.Says+"; "+line.Says, "; ")
		}
		if line.Result != nil {
			part.Result = *line.Result
		}
		last = line
	}
	err = cmd.Wait()
	switch {
	case last.Done && last.Error != "":
		return errors.New(printable.String(last.Error))
	case last.Done && last.Cut, errors.Is(ctx.Err(), context.DeadlineExceeded):
		return errCut
	case ctx.Err() != nil:
		return ctx.Err()
	case last.Done:
		return nil
	case err == nil:
		return errors.New("its process ended without a result")
	}
	return fmt.Errorf("its process died (%w)%s", err, words)
}
