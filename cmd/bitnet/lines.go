package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// lineReader reads what a person types, one line at a time. On a terminal the
// line can be edited, and earlier ones recalled.
type lineReader struct {
	asked chan struct{}
	lines chan typedLine
	close func() // leaves the terminal as it was
}

type typedLine struct {
	text string
	err  error
}

// newLineReader reads lines from in, with a prompt on out if a person types.
func newLineReader(in io.Reader, out io.Writer, person bool) *lineReader {
	r := &lineReader{asked: make(chan struct{}), lines: make(chan typedLine, 1), close: func() {}}
	next := plainLines(in)
	if f, ok := in.(*os.File); ok && person {
		next, r.close = editedLines(f, out)
	}
	go func() {
		for range r.asked {
			text, err := next()
			r.lines <- typedLine{text, err}
			if err != nil {
				return
			}
		}
	}()
	return r
}

// read waits for the next line, until ctx ends. It ends with io.EOF.
func (r *lineReader) read(ctx context.Context) (string, error) {
	select {
	case r.asked <- struct{}{}:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	select {
	case l := <-r.lines:
		return l.text, l.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func plainLines(in io.Reader) func() (string, error) {
	r := bufio.NewReader(in)
	return func() (string, error) {
		line, err := r.ReadString('\n')
		if line != "" {
			return strings.TrimRight(line, "\r\n"), nil
		}
		if err != nil && err != io.EOF {
			err = fmt.Errorf("reading what you type: %w", err)
		}
		return "", err
	}
}

// editedLines reads lines from a terminal, which is only in raw mode while a
// line is typed: otherwise Ctrl-C stops an answer.
func editedLines(in *os.File, out io.Writer) (next func() (string, error), restore func()) {
	t := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{in, out}, "> ")
	fd := int(in.Fd())
	before, err := term.GetState(fd)
	restore = func() {
		if err == nil {
			_ = term.Restore(fd, before)
		}
	}
	return func() (string, error) {
		if _, err := term.MakeRaw(fd); err != nil {
			return "", fmt.Errorf("setting up the terminal: %w", err)
		}
		defer restore()
		if width, height, err := term.GetSize(fd); err == nil && width > 0 {
			_ = t.SetSize(width, height)
		}
		line, err := t.ReadLine()
		if err == term.ErrPasteIndicator {
			err = nil
		}
		return line, err
	}, restore
}

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// dim is a text in a faint colour, unless the user wants none (NO_COLOR).
func dim(text string) string {
	if os.Getenv("NO_COLOR") != "" {
		return text
	}
	return "\x1b[2m" + text + "\x1b[0m"
}
