// Package hub reads models and data sets of the hub into a cache. A program in a
// browser cannot: a page asks no other host than its own. There the package has
// the same names, and every client is refused.
package hub

import (
	"context"
	"errors"

	"bitnet/data/meter"
)

var errBrowser = errors.New("a page does not reach the hub: download the files and drop them into the page")

// Config says how the hub is used.
type Config struct{}

// Client would talk to the hub.
type Client struct {
	Cache   string
	Offline bool
}

// FromEnv returns an empty configuration.
func FromEnv() (Config, error) { return Config{}, nil }

// New fails.
func New(Config) (*Client, error) { return nil, errBrowser }

// File is a file of a repository.
type File struct {
	Path string
	Size int64
	Hash string
}

// Snapshot is a list of the files of a repository.
type Snapshot struct {
	Repo    Repo
	Files   []File
	Cached  bool
	Partial bool
}

// File finds no file.
func (*Snapshot) File(string) (File, bool) { return File{}, false }

// Match fails.
func (*Snapshot) Match(...string) ([]File, error) { return nil, errBrowser }

// List fails.
func (*Client) List(context.Context, Repo) (*Snapshot, error) { return nil, errBrowser }

// Has reports that a file is not in the cache.
func (*Client) Has(*Snapshot, File) bool { return false }

// Download fails.
func (*Client) Download(context.Context, *Snapshot, File, func(n int64, fresh bool)) (string, error) {
	return "", errBrowser
}

// Transfer would be a download of many files.
type Transfer struct{}

// Start starts nothing.
func (*Client) Start(context.Context, *Snapshot, []File, int) *Transfer { return &Transfer{} }

// Wait fails.
func (*Transfer) Wait(context.Context, int) (string, error) { return "", errBrowser }

// Progress is that of no download.
func (*Transfer) Progress() (bytes meter.Reading, ready int) { return meter.Reading{}, 0 }

// Push fails.
func (*Client) Push(context.Context, Repo, []Source, PushOptions) (*Pushed, error) {
	return nil, errBrowser
}
