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
	"github.com/spf13/pflag"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/serve"
	"bitnet/data/plainfile"
)

// serveFlags are the settings of bitnet serve.
type serveFlags struct {
	modelFlags
	key                  keyFlags
	log                  logFlags
	address              string
	hosts, origins       []string
	name, format         string
	contextLen, parallel int
	limits               serve.Limits
}

func serveCommand() *cobra.Command {
	f := serveFlags{limits: serve.DefaultLimits()}
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
		RunE: func(c *cobra.Command, args []string) error { return f.run(c, args[0]) },
	}
	f.add(c.Flags())
	return c
}

func (f *serveFlags) add(fl *pflag.FlagSet) {
	fl.StringVar(&f.address, "addr", "127.0.0.1:8080", "address and port to listen on")
	fl.StringVar(&f.key.value, "api-key", "", "key that clients must send (default $BITNET_API_KEY); required beyond this machine")
	fl.StringVar(&f.key.file, "api-key-file", "", "file that holds the key, so that the list of processes does not show it")
	fl.StringArrayVar(&f.hosts, "allow-host", nil, "an additional host name by which clients may address the server; may be repeated")
	fl.StringArrayVar(&f.origins, "allow-origin", nil, "a web site whose pages may use the server, such as https://example.org; may be repeated")
	fl.StringVar(&f.name, "name", "", "name of the model for clients (default: that of the folder)")
	fl.StringVar(&f.format, "format", "", "conversation format: "+strings.Join(infer.ChatFormats(), ", ")+" (default: that of the model's chat template)")
	fl.IntVar(&f.contextLen, "context", 0, "at most N tokens of prompt and answer (default: the model's context, up to 4096)")
	fl.IntVar(&f.parallel, "parallel", 0, "answer N texts at once; each needs memory for --context tokens (default: 8, or what 1 GiB of keys and values allows)")
	fl.IntVar(&f.limits.MaxTokens, "max-tokens", f.limits.MaxTokens, "at most N tokens per answer")
	fl.IntVar(&f.limits.Queue, "queue", f.limits.Queue, "at most N requests wait; more are refused")
	fl.StringVar(&f.log.path, "log", "", "file to which a line of JSON is added for each request; - for standard error")
	fl.BoolVar(&f.log.texts, "log-texts", false, "put prompts and answers into the log")
	f.modelFlags.add(fl)
}

// check refuses numbers and origins that a server cannot have.
func (f *serveFlags) check() error {
	if f.parallel < 0 || f.parallel > mostParallel {
		return usageError{fmt.Errorf("--parallel %d: want 1 to %d, or 0 for the default", f.parallel, mostParallel)}
	}
	if f.limits.Queue < 0 {
		return usageError{fmt.Errorf("--queue %d: want 0 or more", f.limits.Queue)}
	}
	if f.limits.MaxTokens < 1 {
		return usageError{fmt.Errorf("--max-tokens %d: want 1 or more", f.limits.MaxTokens)}
	}
	for _, o := range f.origins {
		if err := serve.CheckOrigin(o); err != nil {
			return usageError{fmt.Errorf("--allow-origin: %w", err)}
		}
	}
	return nil
}

// run listens, opens the model and serves it until the command is stopped.
func (f *serveFlags) run(c *cobra.Command, model string) error {
	key, err := f.key.read()
	if err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return err
	}
	listener, err := listen(f.address, key)
	if err != nil {
		return err
	}
	defer listener.Close()
	dev, m, err := f.openModel(c, model)
	if err != nil {
		return err
	}
	defer dev.Close()
	form, err := infer.FindChatFormat(f.format, m.Tokenizer)
	if err != nil {
		return usageError{err}
	}
	requests, closeLog, err := f.log.open(c)
	if err != nil {
		return err
	}
	defer closeLog()
	batch, err := m.NewBatch(f.parallel, f.contextLen)
	if err != nil {
		return fmt.Errorf("%w (--parallel and --context set how much is needed)", err)
	}
	defer batch.Release()
	batch.Warm()
	name := f.name
	if name == "" {
		name = filepath.Base(filepath.Clean(model))
	}
	api := serve.New(m, batch, name, form, f.limits, f.access(listener, key), requests)
	fmt.Fprintf(c.OutOrStdout(), "serving %s on http://%s/v1 (%s), %d at once with %d tokens of context each; Ctrl-C stops\n",
		name, listener.Addr(), dev.Adapter().Name, batch.AtOnce(), batch.Context())
	fmt.Fprintf(c.OutOrStdout(), "talk with it at http://%s/\n", listener.Addr())
	return answerUntilStopped(c, listener, api, f.limits)
}

// access says who may use the server. One that only this machine reaches has this
// machine's names; another has any name, if none is given.
func (f *serveFlags) access(listener net.Listener, key string) serve.Access {
	a := serve.Access{Origins: f.origins, Key: key, Hosts: f.hosts}
	if ip := listener.Addr().(*net.TCPAddr).IP; ip.IsLoopback() {
		a.Hosts = append([]string{"localhost", "127.0.0.1", "::1", ip.String()}, f.hosts...)
	}
	return a
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

// logFlags say where requests are logged.
type logFlags struct {
	path  string
	texts bool
}

// open opens the log of requests; nil for none.
func (l logFlags) open(c *cobra.Command) (*serve.Log, func(), error) {
	switch l.path {
	case "":
		if l.texts {
			return nil, nil, usageError{errors.New("--log-texts needs --log FILE")}
		}
		return nil, func() {}, nil
	case "-":
		return serve.NewLog(c.ErrOrStderr(), l.texts), func() {}, nil
	}
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("--log: %w", err)
	}
	return serve.NewLog(f, l.texts), func() { _ = f.Close() }, nil
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
