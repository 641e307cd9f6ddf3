package serve

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Access says who may use a server.
type Access struct {
	// Hosts are the names that requests may address the server by, so that a web
	// page cannot reach it under a name of its own (DNS rebinding); nil allows all.
	Hosts []string
	// Origins are the web sites whose pages may use the server, such as
	// https://example.org; "*" allows all.
	Origins []string
	// Key is what requests must bring as "Authorization: Bearer KEY"; "" for none.
	Key string
}

// guard lets through what may use the server.
func (a Access) guard(next http.Handler) http.Handler {
	key := sha256.Sum256([]byte("Bearer " + a.Key))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		if !a.host(r.Host) {
			fail(w, http.StatusForbidden, "host", "the server was not started for this address: see --allow-host")
			return
		}
		origin := r.Header.Get("Origin")
		if !a.origin(r, origin) {
			fail(w, http.StatusForbidden, "origin", "pages of other sites may not use this server: see --allow-origin")
			return
		}
		if origin != "" {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Add("Vary", "Origin")
			if r.Method == http.MethodOptions {
				h.Set("Access-Control-Allow-Methods", "GET, POST")
				h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
				w.WriteHeader(http.StatusNoContent)
				return
			}
		}
		if a.Key != "" && !open(r) {
			got := sha256.Sum256([]byte(r.Header.Get("Authorization"))) // of one length, so that comparing takes one time
			if subtle.ConstantTimeCompare(got[:], key[:]) != 1 {
				w.Header().Set("WWW-Authenticate", "Bearer")
				fail(w, http.StatusUnauthorized, "invalid_api_key", "the API key is missing or wrong: send Authorization: Bearer KEY")
				return
			}
		}
		// A form of another site can post text/plain without asking; not JSON.
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); r.Method == http.MethodPost && (err != nil || kind != "application/json") {
			fail(w, http.StatusUnsupportedMediaType, "content_type", "send JSON, with Content-Type: application/json")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (a Access) host(host string) bool {
	if a.Hosts == nil {
		return true
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	return slices.ContainsFunc(a.Hosts, func(h string) bool { return strings.EqualFold(h, host) })
}

// origin reports whether the page that sends a request may do so. Programs send
// no Origin, and pages of the server's own address may.
func (a Access) origin(r *http.Request, origin string) bool {
	if slices.Contains(a.Origins, "*") || origin != "" && slices.ContainsFunc(a.Origins, func(o string) bool { return strings.EqualFold(o, origin) }) {
		return true
	}
	if origin != "" {
		u, err := url.Parse(origin)
		return err == nil && u.Host == r.Host
	}
	site := r.Header.Get("Sec-Fetch-Site")
	return site == "" || site == "none" || site == "same-origin" || followed(r)
}

// followed says whether a person followed a link of another site to the page. It
// holds nothing that is not public, and cannot be framed.
func followed(r *http.Request) bool {
	return r.Method == http.MethodGet && r.URL.Path == "/" && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

// CheckOrigin says what is wrong with an origin of a command line.
func CheckOrigin(origin string) error {
	u, err := url.Parse(origin)
	if origin == "*" || err == nil && u.Scheme != "" && u.Host != "" && u.Path == "" && u.RawQuery == "" {
		return nil
	}
	return fmt.Errorf("%q is not an origin: want a form such as https://example.org", origin)
}
