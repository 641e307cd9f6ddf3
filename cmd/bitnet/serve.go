package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/serve"
)

func serveCommand() *cobra.Command {
	var f modelFlags
	var address, name, format string
	var contextLen int
	limits := serve.DefaultLimits()
	c := &cobra.Command{
		Use:   "serve MODEL",
		Short: "Serve a trained model in the form of OpenAI's API",
		Long: `Serve a model at /v1/completions, /v1/chat/completions (both also streamed) and
/v1/models, for programs that speak OpenAI's API. Only this machine can reach it
unless --addr says otherwise; it asks nobody for a key.

` + modelHelp,
		Example: `  bitnet serve runs/my_run
  bitnet serve runs/my_run --addr 127.0.0.1:9000 --name my-model
  curl http://127.0.0.1:8080/v1/completions -d '{"prompt": "Once upon a time"}'`,
		Args: exactly(1, modelArgument),
		RunE: func(c *cobra.Command, args []string) error {
			listener, err := net.Listen("tcp", address)
			if err != nil {
				return fmt.Errorf("%w: choose another address with --addr", err)
			}
			defer listener.Close()
			dev, m, err := f.openModel(c, args[0])
			if err != nil {
				return err
			}
			defer dev.Close()
			form, err := infer.FindChatFormat(format, m.Tokenizer)
			if err != nil {
				return usageError{err}
			}
			session, err := m.NewSession(contextLen)
			if err != nil {
				return err
			}
			if name == "" {
				name = filepath.Base(filepath.Clean(args[0]))
			}
			var hosts []string
			if ip := listener.Addr().(*net.TCPAddr).IP; ip.IsLoopback() {
				hosts = []string{"localhost", "127.0.0.1", "::1", ip.String()}
			} else {
				fmt.Fprintln(os.Stderr, "warning: others on the network can use this model")
			}
			server := &http.Server{
				Handler:           serve.New(m, session, name, form, limits, hosts).Handler(),
				ReadHeaderTimeout: 10 * time.Second,
				ReadTimeout:       30 * time.Second,
				IdleTimeout:       2 * time.Minute,
				BaseContext:       func(net.Listener) context.Context { return c.Context() },
			}
			fmt.Fprintf(c.OutOrStdout(), "serving %s on http://%s/v1 (%s), %d tokens of context; Ctrl-C stops\n",
				name, listener.Addr(), dev.Adapter().Name, session.Context())
			ended := make(chan error, 1)
			go func() { ended <- server.Serve(listener) }()
			select {
			case err = <-ended:
			case <-c.Context().Done():
				stop, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				defer cancel()
				err = server.Shutdown(stop)
			}
			if errors.Is(err, http.ErrServerClosed) {
				err = nil
			}
			return err
		},
	}
	fl := c.Flags()
	fl.StringVar(&address, "addr", "127.0.0.1:8080", "where to listen")
	fl.StringVar(&name, "name", "", "the model's name for clients (default: the folder's)")
	fl.StringVar(&format, "format", "", "form of a conversation: "+strings.Join(infer.ChatFormats(), ", ")+" (default: as the model's chat template)")
	fl.IntVar(&contextLen, "context", 0, "most tokens of prompt and answer (default: the model's, up to 4096)")
	fl.IntVar(&limits.MaxTokens, "max-tokens", limits.MaxTokens, "most tokens of an answer")
	fl.IntVar(&limits.Queue, "queue", limits.Queue, "most requests that wait; more are refused")
	f.add(fl)
	return c
}
