//go:build !js

// Package hub downloads models and data sets from a Hugging Face hub, or from
// any server that speaks its protocol, into the cache layout that
// huggingface_hub shares: {models|datasets}--org--name/{blobs,refs,snapshots}.
// It also uploads files, as one commit (Push).
//
// A hub is not trusted: names of files cannot leave the cache, content is checked
// by its hash, listings and answers are bounded, the token stays with the
// endpoint, and a server that stalls or drips is given up. What has arrived is
// kept, and the next run resumes it.
//
// The package exists because the Go client that we found (gomlx/go-huggingface
// v0.3.1) does not resume, retry or check hashes, and takes a connection that
// is cut in the middle of a file for the end of the file.
package hub

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bitnet/data/plainfile"
)

// DefaultEndpoint is the public hub. HF_ENDPOINT names a different one.
const DefaultEndpoint = "https://huggingface.co"

// Config says which hub, which cache and how patiently. Zero values mean the
// defaults.
type Config struct {
	Endpoint string // default DefaultEndpoint
	Cache    string // folder of the repositories; required
	Token    string // sent to the endpoint only, never to a host it redirects to
	Offline  bool   // use the cache only

	Attempts int           // for one request without progress between; default 6
	Backoff  time.Duration // before the second attempt, doubled for each next; default 1 s
	Stall    time.Duration // a connection that gives nothing for so long is dropped; default 30 s
	Patience time.Duration // a download that gets less than 256 KiB in so long is given up; default 5 min
	Listing  time.Duration // a listing of files that is not complete by then is given up; default 10 min
}

// FromEnv reads the variables that huggingface_hub reads: HF_ENDPOINT, HF_HOME,
// HF_HUB_CACHE, HF_TOKEN (or the token file HF_TOKEN_PATH, by default
// HF_HOME/token) and HF_HUB_OFFLINE.
func FromEnv() (Config, error) {
	home := os.Getenv("HF_HOME")
	if home == "" {
		base := os.Getenv("XDG_CACHE_HOME")
		if base == "" {
			user, err := os.UserHomeDir()
			if err != nil {
				return Config{}, fmt.Errorf("finding the hub's cache: %w; set HF_HOME to a folder", err)
			}
			base = filepath.Join(user, ".cache")
		}
		home = filepath.Join(base, "huggingface")
	}
	c := Config{
		Endpoint: os.Getenv("HF_ENDPOINT"),
		Cache:    os.Getenv("HF_HUB_CACHE"),
		Token:    strings.TrimSpace(os.Getenv("HF_TOKEN")),
	}
	if c.Cache == "" {
		c.Cache = filepath.Join(home, "hub")
	}
	if c.Token == "" {
		path := os.Getenv("HF_TOKEN_PATH")
		if path == "" {
			path = filepath.Join(home, "token")
		}
		if b, err := plainfile.Read(path, 1<<12); err == nil {
			c.Token = strings.TrimSpace(string(b))
		}
	}
	switch strings.ToLower(os.Getenv("HF_HUB_OFFLINE")) {
	case "1", "true", "yes", "on":
		c.Offline = true
	}
	return c, nil
}

// Client talks to one hub and fills one cache. It may be used by several
// goroutines, and several processes may share the cache.
type Client struct {
	Config
	base *url.URL
	http *http.Client
	up   *http.Client // for requests with a body: the hub may think longer about what it got
}

// New checks the configuration; it does not connect.
func New(c Config) (*Client, error) {
	if c.Endpoint == "" {
		c.Endpoint = DefaultEndpoint
	}
	base, err := url.Parse(strings.TrimRight(c.Endpoint, "/"))
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" {
		return nil, fmt.Errorf("HF_ENDPOINT %q is not an http address", c.Endpoint)
	}
	if c.Cache == "" {
		return nil, fmt.Errorf("no folder for the hub's cache: set HF_HOME")
	}
	if strings.ContainsAny(c.Token, "\r\n\x00 ") {
		return nil, fmt.Errorf("the hub token holds spaces or line breaks: check HF_TOKEN")
	}
	if c.Attempts == 0 {
		c.Attempts = 6
	}
	if c.Backoff == 0 {
		c.Backoff = time.Second
	}
	if c.Stall == 0 {
		c.Stall = 30 * time.Second
	}
	if c.Patience == 0 {
		c.Patience = 5 * time.Minute
	}
	if c.Listing == 0 {
		c.Listing = 10 * time.Minute
	}
	return &Client{Config: c, base: base, http: newHTTP(c.Stall, c.Stall), up: newHTTP(c.Stall, 10*c.Stall)}, nil
}
