package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"bitnet/bitnet"
	"bitnet/bitnet/runs"
)

const chatHelp = `  /reset        forget the conversation
  /temp 0.7     set the temperature; 0 always takes the likeliest token
  /save FILE    write the conversation to a file
  /help         this list
  /quit         leave; so does Ctrl-D
Ctrl-C stops an answer.`

func chatCommand() *cobra.Command {
	var on adapterFlags
	var format, runsDir, system string
	var limit, contextLen int
	c := &cobra.Command{
		Use:   "chat [MODEL]",
		Short: "Talk with a trained model",
		Long: `Talk with a trained model. MODEL is a run (its newest checkpoint), a checkpoint,
a transformers model directory, or ORG/NAME on the hub; without it, the newest
run. A model that was taught no conversation goes on with what you write.

` + chatHelp,
		Example: `  bitnet chat
  bitnet chat runs/bitnet_tinystories_20260101_120000 --temp 0.6
  echo "25 + 17 = " | bitnet chat runs/my_run --temp 0`,
		Args: cobra.MaximumNArgs(1),
	}
	sampling := samplingFlags(c.Flags())
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := sampling.Check(); err != nil {
			return usageError{err}
		}
		path, err := modelOrNewest(args, runsDir)
		if err != nil {
			return err
		}
		dev, m, err := openModel(c, &on, path)
		if err != nil {
			return err
		}
		defer dev.Close()
		f, err := bitnet.FindChatFormat(format, m.Tokenizer)
		if err != nil {
			return usageError{err}
		}
		s, err := m.NewSession(dev, contextLen)
		if err != nil {
			return err
		}
		chat := &conversation{
			model: m, session: s, format: f, sampling: *sampling, limit: limit, system: system,
			out: c.OutOrStdout(), talk: term.IsTerminal(int(os.Stdin.Fd())),
		}
		if chat.talk {
			fmt.Fprintf(chat.out, "%s on %s, %d tokens of context. /help lists the commands.\n", printable(m.Dir), dev.Adapter().Name, s.Context())
			if f.Name == "plain" {
				fmt.Fprintln(chat.out, "This model goes on with your text; it was taught no conversation.")
			}
		}
		return chat.run(c.Context(), c.InOrStdin())
	}
	fl := c.Flags()
	fl.StringVar(&format, "format", "", "form of a conversation: "+strings.Join(bitnet.ChatFormats(), ", ")+" (default: as the model's chat template)")
	fl.StringVar(&system, "system", "", "what the model is told before the conversation")
	fl.IntVar(&limit, "max-tokens", 256, "most tokens of an answer")
	fl.IntVar(&contextLen, "context", 0, "most tokens of the conversation (default: the model's, up to 4096)")
	fl.StringVar(&runsDir, "runs-dir", "runs", "where runs are kept")
	on.add(fl)
	return c
}

// modelOrNewest is the model named, or the newest run.
func modelOrNewest(args []string, runsDir string) (string, error) {
	if len(args) == 1 {
		return args[0], nil
	}
	r, err := runs.Newest(runsDir)
	if err != nil {
		return "", fmt.Errorf("%w: name a model, or train one with bitnet train --exp simple", err)
	}
	return r.Dir, nil
}

// conversation is a chat that is under way.
type conversation struct {
	model    *bitnet.Opened
	session  *bitnet.Session
	format   bitnet.ChatFormat
	sampling bitnet.Sampling
	system   string
	limit    int
	messages []bitnet.Message
	out      io.Writer
	talk     bool // somebody sits before it
}

func (t *conversation) run(ctx context.Context, in io.Reader) error {
	t.reset()
	// Ctrl-C belongs to the answers from here on.
	signal.Reset(os.Interrupt)
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	lines := make(chan string)
	failed := make(chan error, 1)
	go func() {
		defer close(lines)
		r := bufio.NewReader(in)
		for {
			line, err := r.ReadString('\n')
			if line != "" {
				lines <- strings.TrimRight(line, "\r\n")
			}
			if err != nil {
				if !errors.Is(err, io.EOF) {
					failed <- fmt.Errorf("reading what you type: %w", err)
				}
				return
			}
		}
	}()
	for {
		if t.talk {
			fmt.Fprint(t.out, "> ")
		}
		select {
		case line, ok := <-lines:
			if !ok {
				if t.talk {
					fmt.Fprintln(t.out)
				}
				select {
				case err := <-failed:
					return err
				default:
					return nil
				}
			}
			quit, err := t.line(ctx, line, interrupts)
			if quit || err != nil {
				return err
			}
		case <-interrupts:
			fmt.Fprintln(t.out, "\n/quit or Ctrl-D leaves")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (t *conversation) reset() {
	t.messages = nil
	if t.system != "" {
		t.messages = []bitnet.Message{{Role: "system", Content: t.system}}
	}
}

func (t *conversation) line(ctx context.Context, line string, interrupts <-chan os.Signal) (quit bool, err error) {
	command, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch {
	case strings.TrimSpace(line) == "":
		return false, nil
	case !strings.HasPrefix(line, "/"):
		return false, t.answer(ctx, line, interrupts)
	case command == "/quit" || command == "/exit":
		return true, nil
	case command == "/reset":
		t.reset()
	case command == "/temp":
		next := t.sampling
		if next.Temperature, err = strconv.ParseFloat(rest, 64); err == nil {
			err = next.Check()
		}
		if err != nil {
			fmt.Fprintln(t.out, "/temp wants a number, 0 or more, such as 0.7")
			return false, nil
		}
		t.sampling = next
	case command == "/save":
		if err := t.save(rest); err != nil {
			fmt.Fprintln(t.out, err)
		} else {
			fmt.Fprintf(t.out, "saved to %s\n", rest)
		}
	case command == "/help":
		fmt.Fprintln(t.out, chatHelp)
	default:
		fmt.Fprintf(t.out, "there is no command %s; /help lists them\n", printable(command))
	}
	return false, nil
}

func (t *conversation) answer(ctx context.Context, text string, interrupts <-chan os.Signal) error {
	messages := append(slices.Clone(t.messages), bitnet.Message{Role: "user", Content: text})
	ids, messages, err := t.format.Fit(t.model.Tokenizer, messages, t.session.Context(), min(t.limit, t.session.Context()/4))
	if err != nil {
		fmt.Fprintln(t.out, err) // such as characters that the model has no token for
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func() {
		select {
		case <-interrupts:
			cancel()
		case <-done:
		}
	}()
	c, err := t.session.Complete(ctx, bitnet.Request{Tokens: ids, Limit: t.limit, Sampling: t.sampling, Stop: t.format.Stop}, func(piece string) error {
		_, err := fmt.Fprint(t.out, printable(piece))
		return err
	})
	close(done)
	fmt.Fprintln(t.out)
	stopped := errors.Is(err, context.Canceled)
	if err != nil && !stopped {
		return err
	}
	t.sampling.Seed++ // the same question need not get the same answer
	t.messages = append(messages, bitnet.Message{Role: "assistant", Content: c.Text, Ended: c.Ended})
	if t.talk {
		fmt.Fprintf(t.out, "\x1b[2m[%d tokens, %.1f tokens/s]\x1b[0m\n", len(c.Tokens), c.TokensPerSecond())
	}
	return nil
}

func (t *conversation) save(path string) error {
	if path == "" {
		return errors.New("/save wants a file's name")
	}
	var b strings.Builder
	for _, m := range t.messages {
		fmt.Fprintf(&b, "%s: %s\n", m.Role, m.Content)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("nothing saved: %w", err)
	}
	_, err = f.WriteString(b.String())
	return errors.Join(err, f.Close())
}
