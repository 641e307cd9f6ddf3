package page

import (
	"log"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
)

// Rules say what the guard of a page's server lets through.
type Rules struct {
	Policy  string   // Content-Security-Policy of every answer
	Names   []string // host names by which the server may be called, in addition to those of loopback
	Command string   // that serves the page, for messages: "bitnet dash"
}

// Guard refuses what may not be asked, and sets the headers of every answer. It
// lets reading requests through alone, and reports a fault of next where the
// server was started.
func (rules Rules) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", rules.Policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		switch {
		case !hostAllowed(r, rules.Names):
			http.Error(w, "this address is not served: use the one that "+rules.Command+" printed", http.StatusForbidden)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "the page only reads", http.StatusMethodNotAllowed)
		default:
			defer rules.answerPanic(w)
			next.ServeHTTP(w, r)
		}
	})
}

// answerPanic answers a request that met a fault of the program, and reports it
// where the server was started.
func (rules Rules) answerPanic(w http.ResponseWriter) {
	switch p := recover(); p {
	case nil:
	case http.ErrAbortHandler:
		panic(p)
	default:
		log.Printf("%s: this is a fault of bitnet, please report it: %v\n%s", rules.Command, p, debug.Stack())
		http.Error(w, "the server met a fault of its own: its terminal shows more", http.StatusInternalServerError)
	}
}

// hostAllowed stops DNS rebinding: a page of another site whose name was made
// to point here sends that name. Allowed are the names of loopback, the names
// given, and the very address that the connection came to, which no name can
// pass for. The port may be another: a tunnel changes it.
func hostAllowed(r *http.Request, names []string) bool {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	for _, n := range names {
		if n != "" && host == strings.ToLower(n) {
			return true
		}
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	if ip.Unmap().IsLoopback() {
		return true
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	at, err := netip.ParseAddrPort(local.String())
	return err == nil && at.Addr().Unmap().WithZone("") == ip.Unmap()
}
