package main

import (
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

	"bitnet/bitnet/infer"
	"bitnet/data/printable"
)

const chatHelp = `  /reset        forget the conversation
  /temp 0.7     set the temperature; 0 always takes the likeliest token
  /save FILE    write the conversation to a file
  /help         this list
  /quit         leave; so do Ctrl-D, and Ctrl-C at the prompt
Ctrl-C stops an answer. Arrow keys edit the line and recall earlier ones.`

func chatCommand() *cobra.Command {
	var f modelFlags
	var format, system string
	var limit, contextLen int
	c := &cobra.Command{
		Use:   "chat [MODEL]",
		Short: "Talk with a trained model",
		Long: `Talk with a trained model; without MODEL, with the newest run. A base model
continues your text instead of answering.

` + modelHelp + "\n\n" + chatHelp,
		Example: `  bitnet chat
  bitnet chat bitnet_tinystories_20260101_120000 --temp 0.6
  bitnet chat my_model --adapter my_lora_run
  echo "25 + 17 = " | bitnet chat my_run --temp 0`,
		Args: atMost(1, "one model"),
	}
	sampling := samplingFlags(c.Flags())
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := sampling.Check(); err != nil {
			return usageError{err}
		}
		if err := oneOf("--format", format, append([]string{""}, infer.ChatFormats()...)); err != nil {
			return err
		}
		path, err := f.orNewest(args)
		if err != nil {
			return err
		}
		dev, m, err := f.openModel(c, path)
		if err != nil {
			return err
		}
		defer dev.Close()
		form, err := infer.FindChatFormat(format, m.Tokenizer)
		if err != nil {
			return usageError{err}
		}
		s, err := m.NewSession(contextLen)
		if err != nil {
			return err
		}
		chat := &conversation{
			model: m, session: s, format: form, sampling: *sampling, limit: limit, system: system,
			out: c.OutOrStdout(), talk: isTerminal(c.InOrStdin()) && isTerminal(c.OutOrStdout()),
		}
		if chat.talk {
			fmt.Fprintf(chat.out, "%s on %s, %d tokens of context. /help lists the commands.\n", printable.Text(m.Dir), dev.Adapter().Name, s.Context())
			if form.Name == "plain" {
				fmt.Fprintln(chat.out, "This is a base model: it continues your text instead of answering.")
			}
		}
		return chat.run(c.Context(), c.InOrStdin())
	}
	fl := c.Flags()
	fl.StringVar(&format, "format", "", "conversation format: "+strings.Join(infer.ChatFormats(), ", ")+" (default: that of the model's chat template)")
	fl.StringVar(&system, "system", "", "instructions to the model that come before the conversation")
	fl.IntVar(&limit, "max-tokens", 256, "at most N tokens per answer")
	fl.IntVar(&contextLen, "context", 0, "at most N tokens of conversation (default: the model's context, up to 4096)")
	f.add(fl)
	return c
}

// conversation is a running chat.
type conversation struct {
	model    *infer.Model
	session  *infer.Session
	format   infer.ChatFormat
	sampling infer.Sampling
	system   string
	limit    int
	messages []infer.Message
	out      io.Writer
	talk     bool // with a person at a terminal
}

func (t *conversation) run(ctx context.Context, in io.Reader) error {
	t.reset()
	// From here on, Ctrl-C stops an answer.
	signal.Reset(os.Interrupt)
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	lines := newLineReader(in, t.out, t.talk)
	defer lines.close()
	for {
		line, err := lines.read(ctx)
		switch {
		case errors.Is(err, io.EOF):
			if t.talk {
				fmt.Fprintln(t.out)
			}
			return nil
		case err != nil:
			return err
		}
		quit, err := t.line(ctx, line, interrupts)
		if quit || err != nil {
			return err
		}
	}
}

func (t *conversation) reset() {
	t.messages = nil
	if t.system != "" {
		t.messages = []infer.Message{{Role: "system", Content: t.system}}
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
			fmt.Fprintln(t.out, "/temp needs a number, 0 or more, such as 0.7")
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
		fmt.Fprintf(t.out, "there is no command %s; /help lists them\n", printable.Text(command))
	}
	return false, nil
}

func (t *conversation) answer(ctx context.Context, text string, interrupts <-chan os.Signal) error {
	messages := append(slices.Clone(t.messages), infer.Message{Role: "user", Content: text})
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
	c, err := t.session.Complete(ctx, infer.Request{Tokens: ids, Limit: t.limit, Sampling: t.sampling, Stop: t.format.Stop}, func(piece string) error {
		_, err := fmt.Fprint(t.out, printable.Text(piece))
		return err
	})
	close(done)
	fmt.Fprintln(t.out)
	stopped := errors.Is(err, context.Canceled)
	if err != nil && !stopped {
		return err
	}
	t.sampling.Seed++ // the same question need not get the same answer
	t.messages = append(messages, infer.Message{Role: "assistant", Content: c.Text, Ended: c.Ended})
	if t.talk {
		fmt.Fprintln(t.out, dim(fmt.Sprintf("[%d tokens, %.1f tokens/s]", len(c.Tokens), c.TokensPerSecond())))
	}
	return nil
}

func (t *conversation) save(path string) error {
	if path == "" {
		return errors.New("/save needs a file name")
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
