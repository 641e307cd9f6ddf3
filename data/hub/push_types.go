package hub

import "bitnet/data/meter"

// Source is a file to push: a local one, or Data.
type Source struct {
	Path  string // in the repository
	Local string // path of the local file, "" for Data
	Data  []byte
}

// PushOptions say how files are pushed.
type PushOptions struct {
	Message  string // of the commit
	Private  bool   // of a repository that is created; one that exists stays what it is
	Parallel int    // large files to send at the same time
	Note     func(string)
	Meter    *meter.Meter // counts the bytes that are sent, and those that were there; may be nil
}

// Pushed is what a push did.
type Pushed struct {
	Commit    string // that holds the files
	Page      string // address of the repository, for people
	Created   bool   // the repository was made
	Sent      int    // files that the commit changed
	Kept      int    // files that the repository had already
	SentBytes int64  // of the files in Sent
}
