package hub

import (
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
)

// Kind is what a repository holds.
type Kind string

const (
	Model   Kind = "model"
	Dataset Kind = "dataset"
)

func (k Kind) plural() string { return string(k) + "s" }

// Repo names a repository at a revision: a branch, tag or commit.
type Repo struct {
	Kind     Kind
	Name     string // org/name
	Revision string
}

var (
	repoPart = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}$`)
	commitID = regexp.MustCompile(`^[0-9a-f]{40}$`)
	sha256ID = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// ParseRepo reads org/name[@revision]; the revision is main if none is given.
func ParseRepo(kind Kind, s string) (Repo, error) {
	name, rev, given := strings.Cut(s, "@")
	if !given {
		rev = "main"
	}
	parts := strings.Split(name, "/")
	ok := len(parts) <= 2 && !strings.Contains(name, "--") && !strings.Contains(name, "..")
	for _, p := range parts {
		ok = ok && repoPart.MatchString(p)
	}
	if !ok {
		return Repo{}, fmt.Errorf("%q is not the name of a %s on the hub: write org/name or org/name@revision", s, kind)
	}
	if err := checkPath(rev); err != nil {
		return Repo{}, fmt.Errorf("%s %s: revision: %w", kind, name, err)
	}
	return Repo{Kind: kind, Name: name, Revision: rev}, nil
}

func (r Repo) String() string {
	if r.Revision == "main" {
		return r.Name
	}
	return r.Name + "@" + r.Revision
}

func (r Repo) folder() string {
	return r.Kind.plural() + "--" + strings.ReplaceAll(r.Name, "/", "--")
}

// page is where a person reads about the repository and accepts its terms.
func (r Repo) page() string {
	if r.Kind == Model {
		return r.Name
	}
	return r.Kind.plural() + "/" + r.Name
}

// resolve is the address of a file, below the endpoint.
func (r Repo) resolve(rev, path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return "/" + r.page() + "/resolve/" + url.PathEscape(rev) + "/" + strings.Join(parts, "/")
}

func (r Repo) api(tail string) string {
	return "/api/" + r.Kind.plural() + "/" + r.Name + "/" + tail
}

// checkPath refuses every path that could leave the folder it is put under, on
// any system: a hub may call its files anything.
func checkPath(p string) error {
	bad := func(why string) error { return fmt.Errorf("file name %q refused: %s", p, why) }
	if p == "" {
		return bad("empty")
	}
	if len(p) > 1024 {
		return bad("too long")
	}
	for _, r := range p {
		switch {
		case r < ' ' || r == 0x7f:
			return bad("control character")
		case r == '\\':
			return bad("backslash")
		}
	}
	if len(p) > 1 && p[1] == ':' {
		return bad("drive letter")
	}
	for _, part := range strings.Split(p, "/") {
		switch part {
		case "":
			return bad("absolute, or empty folder name")
		case ".", "..":
			return bad("relative folder")
		}
	}
	if !filepath.IsLocal(filepath.FromSlash(p)) {
		return bad("not a name this system can hold")
	}
	return nil
}
