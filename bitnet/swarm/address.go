package swarm

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// DefaultName is the name of a swarm where nobody chooses one.
const DefaultName = "main"

// DefaultPort is that of NATS.
const DefaultPort = "4222"

// Address says where a meeting point is: nats://HOST:PORT/NAME, or tls:// for an
// encrypted connection. After '#' stands the SHA-256 fingerprint of a certificate
// that no authority has signed. USER:PASSWORD@ or TOKEN@ before the host are for a
// NATS server of the user's.
type Address struct {
	URL         string // for NATS, without name and fingerprint
	Name        string // of the swarm
	Fingerprint string // in hexadecimal, or ""
	TLS         bool
	Host        string // with port, for messages
}

// ParseAddress reads an address. HOST alone means nats://HOST:4222/main.
func ParseAddress(text string) (Address, error) {
	bad := func(why string) (Address, error) {
		return Address{}, fmt.Errorf("%q is not the address of a swarm: %s: want nats://HOST:4222 or what bitnet swarm serve prints", text, why)
	}
	if !strings.Contains(text, "://") {
		text = "nats://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return bad("it is not a URL")
	}
	if u.Scheme != "nats" && u.Scheme != "tls" {
		return bad("it begins with neither nats:// nor tls://")
	}
	if _, ip := netip.ParseAddr(u.Hostname()); ip != nil && !hostName.MatchString(u.Hostname()) {
		return bad("it names no host")
	}
	if u.RawQuery != "" {
		return bad("it has a query")
	}
	port := u.Port()
	if port == "" {
		port = DefaultPort
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return bad("it has no port from 1 to 65535")
	}
	a := Address{Name: strings.Trim(u.Path, "/"), Fingerprint: strings.ToLower(u.Fragment), TLS: u.Scheme == "tls", Host: net.JoinHostPort(u.Hostname(), port)}
	if a.Name == "" {
		a.Name = DefaultName
	}
	if !swarmName.MatchString(a.Name) {
		return bad("the name of a swarm has only letters, digits, '_' and '-'")
	}
	if a.Fingerprint != "" && (!hexadecimal.MatchString(a.Fingerprint) || len(a.Fingerprint) != 64 || !a.TLS) {
		return bad("what follows '#' is not the fingerprint of a certificate, or the address does not begin with tls://")
	}
	plain := url.URL{Scheme: u.Scheme, User: u.User, Host: a.Host}
	a.URL = plain.String()
	return a, nil
}

// String is the address as people pass it on; it has no password.
func (a Address) String() string {
	scheme, text := "nats", ""
	if a.TLS {
		scheme = "tls"
	}
	text = scheme + "://" + a.Host
	if a.Name != DefaultName {
		text += "/" + a.Name
	}
	if a.Fingerprint != "" {
		text += "#" + a.Fingerprint
	}
	return text
}

// subject is where requests of an operation go.
func subject(name string, op operation) string { return "bitnet.swarm." + name + "." + string(op) }
