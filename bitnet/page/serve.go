package page

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

// Listen opens the address. If it is taken the error names a free one.
func Listen(addr string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("--addr %s: want an address and a port, for example 127.0.0.1:6006", addr)
	}
	l, err := net.Listen("tcp", addr)
	if err == nil {
		return l, nil
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is taken by another program: try --addr %s", addr, net.JoinHostPort(host, free(host, port)))
	}
	return nil, fmt.Errorf("--addr %s cannot be opened: %w", addr, err)
}

// free finds a port near the one given that can be opened; "0" lets the system choose.
func free(host, port string) string {
	n, _ := strconv.Atoi(port)
	for p := n + 1; p < n+20 && p < 1<<16; p++ {
		if l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(p))); err == nil {
			l.Close()
			return strconv.Itoa(p)
		}
	}
	return "0"
}

// Serve answers on l with a handler until ctx ends, and returns nil then. Requests
// end with ctx, too.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          log.New(io.Discard, "", 0), // broken connections need no report
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serving the page: %w", err)
	case <-ctx.Done():
	}
	// The streams end with ctx; whoever still reads after that is cut off.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if s.Shutdown(last) != nil {
		return s.Close()
	}
	return nil
}
