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
	var address, name, format, key string
	var hosts, origins []string
	var contextLen int
	limits := serve.DefaultLimits()
	c := &cobra.Command{
		Use:   "serve MODEL",
		Short: "Serve a trained model through OpenAI's API",
		Long: `Serve a model at /v1/completions, /v1/chat/completions (both also streamed) and
/v1/models, for programs that speak OpenAI's API.

Only programs on this machine can use it. --addr opens it to other machines and
then needs --api-key; --allow-origin lets the pages of a web site use it.
After SIGTERM or Ctrl-C the server refuses waiting requests, finishes the current
answer and stops.

` + modelHelp,
		Example: `  bitnet serve runs/my_run
  bitnet serve runs/my_run --addr 127.0.0.1:9000 --name my-model
  bitnet serve my_run --addr 0.0.0.0:8080 --api-key "$KEY" --allow-host my-machine
  curl http://127.0.0.1:8080/v1/completions -H 'Content-Type: application/json' -d '{"prompt": "Once upon a time"}'`,
		Args: exactly(1, modelArgument),
		RunE: func(c *cobra.Command, args []string) error {
			if key == "" {
				key = os.Getenv("BITNET_API_KEY")
			}
			for _, o := range origins {
				if err := serve.CheckOrigin(o); err != nil {
					return usageError{fmt.Errorf("--allow-origin: %w", err)}
				}
			}
			listener, err := listen(address, key)
			if err != nil {
				return err
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
			access := serve.Access{Origins: origins, Key: key}
			if ip := listener.Addr().(*net.TCPAddr).IP; ip.IsLoopback() {
				access.Hosts = append([]string{"localhost", "127.0.0.1", "::1", ip.String()}, hosts...)
			} else {
				access.Hosts = hosts // any, if none is named
			}
			api := serve.New(m, session, name, form, limits, access)
			fmt.Fprintf(c.OutOrStdout(), "serving %s on http://%s/v1 (%s), %d tokens of context; Ctrl-C stops\n",
				name, listener.Addr(), dev.Adapter().Name, session.Context())
			return answerUntilStopped(c, listener, api, limits)
		},
	}
	fl := c.Flags()
	fl.StringVar(&address, "addr", "127.0.0.1:8080", "address and port to listen on")
	fl.StringVar(&key, "api-key", "", "key that clients must send (default $BITNET_API_KEY); required beyond this machine")
	fl.StringArrayVar(&hosts, "allow-host", nil, "an additional host name by which clients may address the server; may be repeated")
	fl.StringArrayVar(&origins, "allow-origin", nil, "a web site whose pages may use the server, such as https://example.org; may be repeated")
	fl.StringVar(&name, "name", "", "name of the model for clients (default: that of the folder)")
	fl.StringVar(&format, "format", "", "conversation format: "+strings.Join(infer.ChatFormats(), ", ")+" (default: that of the model's chat template)")
	fl.IntVar(&contextLen, "context", 0, "at most N tokens of prompt and answer (default: the model's context, up to 4096)")
	fl.IntVar(&limits.MaxTokens, "max-tokens", limits.MaxTokens, "at most N tokens per answer")
	fl.IntVar(&limits.Queue, "queue", limits.Queue, "at most N requests wait; more are refused")
	f.add(fl)
	return c
}

// listen opens the address; one that other machines reach needs a key.
func listen(address, key string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w: choose another address with --addr", err)
	}
	if key == "" && !listener.Addr().(*net.TCPAddr).IP.IsLoopback() {
		listener.Close()
		return nil, usageError{fmt.Errorf("--addr %s is reachable from other machines: give --api-key KEY, or set BITNET_API_KEY", address)}
	}
	return listener, nil
}

// answerUntilStopped serves until the command's context ends, then lets the
// current answer finish.
func answerUntilStopped(c *cobra.Command, listener net.Listener, api *serve.Server, limits serve.Limits) error {
	server := &http.Server{
		Handler:           api.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	var err error
	select {
	case err = <-ended:
	case <-c.Context().Done():
		api.Stop()
		fmt.Fprintf(c.ErrOrStderr(), "stopping: the current answer has %s to finish\n", limits.Drain)
		stop, cancel := context.WithTimeout(context.Background(), limits.Drain+5*time.Second)
		defer cancel()
		if err = server.Shutdown(stop); err != nil {
			err = server.Close()
		}
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
