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
	"bitnet/data/plainfile"
)

func serveCommand() *cobra.Command {
	var f modelFlags
	var address, name, format, logFile string
	var hosts, origins []string
	var contextLen, parallel int
	var key keyFlags
	var logTexts bool
	limits := serve.DefaultLimits()
	c := &cobra.Command{
		Use:   "serve MODEL",
		Short: "Serve a trained model through OpenAI's API, and a page to talk with it",
		Long: `Serve a model at /v1/completions, /v1/chat/completions (both also streamed) and
/v1/models, for programs that speak OpenAI's API; at / a page to talk with it; at
/health and /metrics what monitoring asks for.

Several requests are answered at once; more wait in order, and beyond --queue they
are refused with status 429. Only programs on this machine can use the server. --addr
opens it to other machines and then needs an API key; --allow-origin lets the pages
of a web site use it. After SIGTERM or Ctrl-C the server refuses waiting requests,
finishes the current answers and stops.

` + modelHelp,
		Example: `  bitnet serve runs/my_run
  bitnet serve runs/my_run --addr 127.0.0.1:9000 --name my-model
  bitnet serve my_run --addr 0.0.0.0:8080 --api-key-file key.txt --allow-host my-machine
  bitnet serve my_model --adapter my_lora_run
  bitnet serve my_run --parallel 16 --context 2048 --log requests.jsonl
  curl http://127.0.0.1:8080/v1/completions -H 'Content-Type: application/json' -d '{"prompt": "Once upon a time"}'`,
		Args: exactly(1, modelArgument),
		RunE: func(c *cobra.Command, args []string) error {
			key, err := key.read()
			if err != nil {
				return err
			}
			if parallel < 0 || parallel > mostParallel {
				return usageError{fmt.Errorf("--parallel %d: want 1 to %d, or 0 for the default", parallel, mostParallel)}
			}
			if limits.Queue < 0 {
				return usageError{fmt.Errorf("--queue %d: want 0 or more", limits.Queue)}
			}
			if limits.MaxTokens < 1 {
				return usageError{fmt.Errorf("--max-tokens %d: want 1 or more", limits.MaxTokens)}
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
			requests, closeLog, err := openLog(c, logFile, logTexts)
			if err != nil {
				return err
			}
			defer closeLog()
			batch, err := m.NewBatch(parallel, contextLen)
			if err != nil {
				return fmt.Errorf("%w (--parallel and --context set how much is needed)", err)
			}
			defer batch.Release()
			batch.Warm()
			if name == "" {
				name = filepath.Base(filepath.Clean(args[0]))
			}
			access := serve.Access{Origins: origins, Key: key}
			if ip := listener.Addr().(*net.TCPAddr).IP; ip.IsLoopback() {
				access.Hosts = append([]string{"localhost", "127.0.0.1", "::1", ip.String()}, hosts...)
			} else {
				access.Hosts = hosts // any, if none is named
			}
			api := serve.New(m, batch, name, form, limits, access, requests)
			fmt.Fprintf(c.OutOrStdout(), "serving %s on http://%s/v1 (%s), %d at once with %d tokens of context each; Ctrl-C stops\n",
				name, listener.Addr(), dev.Adapter().Name, batch.AtOnce(), batch.Context())
			fmt.Fprintf(c.OutOrStdout(), "talk with it at http://%s/\n", listener.Addr())
			return answerUntilStopped(c, listener, api, limits)
		},
	}
	fl := c.Flags()
	fl.StringVar(&address, "addr", "127.0.0.1:8080", "address and port to listen on")
	fl.StringVar(&key.value, "api-key", "", "key that clients must send (default $BITNET_API_KEY); required beyond this machine")
	fl.StringVar(&key.file, "api-key-file", "", "file that holds the key, so that the list of processes does not show it")
	fl.StringArrayVar(&hosts, "allow-host", nil, "an additional host name by which clients may address the server; may be repeated")
	fl.StringArrayVar(&origins, "allow-origin", nil, "a web site whose pages may use the server, such as https://example.org; may be repeated")
	fl.StringVar(&name, "name", "", "name of the model for clients (default: that of the folder)")
	fl.StringVar(&format, "format", "", "conversation format: "+strings.Join(infer.ChatFormats(), ", ")+" (default: that of the model's chat template)")
	fl.IntVar(&contextLen, "context", 0, "at most N tokens of prompt and answer (default: the model's context, up to 4096)")
	fl.IntVar(&parallel, "parallel", 0, "answer N texts at once; each needs memory for --context tokens (default: 8, or what 1 GiB of keys and values allows)")
	fl.IntVar(&limits.MaxTokens, "max-tokens", limits.MaxTokens, "at most N tokens per answer")
	fl.IntVar(&limits.Queue, "queue", limits.Queue, "at most N requests wait; more are refused")
	fl.StringVar(&logFile, "log", "", "file to which a line of JSON is added for each request; - for standard error")
	fl.BoolVar(&logTexts, "log-texts", false, "put prompts and answers into the log")
	f.add(fl)
	return c
}

// mostParallel is how many texts a server answers at once at most.
const mostParallel = 256

// keyFlags say which key clients must send.
type keyFlags struct{ value, file string }

// read gives the key, "" for none.
func (k keyFlags) read() (string, error) {
	switch {
	case k.value != "" && k.file != "":
		return "", usageError{errors.New("--api-key and --api-key-file: give one of them")}
	case k.file != "":
		text, err := plainfile.Read(k.file, 1<<16)
		if err != nil {
			return "", fmt.Errorf("--api-key-file: %w", err)
		}
		if key := strings.TrimSpace(string(text)); key != "" {
			return key, nil
		}
		return "", usageError{fmt.Errorf("--api-key-file: %s is empty: write the key into it", k.file)}
	case k.value != "":
		return k.value, nil
	}
	return os.Getenv("BITNET_API_KEY"), nil
}

// openLog opens the log of requests; nil for none.
func openLog(c *cobra.Command, path string, texts bool) (*serve.Log, func(), error) {
	switch path {
	case "":
		if texts {
			return nil, nil, usageError{errors.New("--log-texts needs --log FILE")}
		}
		return nil, func() {}, nil
	case "-":
		return serve.NewLog(c.ErrOrStderr(), texts), func() {}, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("--log: %w", err)
	}
	return serve.NewLog(f, texts), func() { _ = f.Close() }, nil
}

// listen opens the address; one that other machines reach needs a key.
func listen(address, key string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w: choose another address with --addr", err)
	}
	if key == "" && !listener.Addr().(*net.TCPAddr).IP.IsLoopback() {
		listener.Close()
		return nil, usageError{fmt.Errorf("--addr %s is reachable from other machines: give --api-key KEY or --api-key-file FILE, or set BITNET_API_KEY", address)}
	}
	return listener, nil
}

// answerUntilStopped serves until the command's context ends, then lets the
// current answers finish.
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
		fmt.Fprintf(c.ErrOrStderr(), "stopping: the current answers have %s to finish\n", limits.Drain)
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
