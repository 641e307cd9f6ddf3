// Command release builds the archives that users download: for each system one with the program,
// its documentation, the licences of what it contains and a list of its parts (SBOM), and a file
// of checksums over all of them. The same commit, Go and C compiler give the same bytes.
//
//	go run ./cmd/release -o build/release
//	go run ./cmd/release -o build/release linux/amd64 windows/amd64
package main

import (
	"debug/buildinfo"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

func main() {
	out := flag.String("o", filepath.Join("build", "release"), "folder for the archives; emptied first")
	version := flag.String("version", "", "version (default: the tag of this commit, or one made of its date)")
	url := flag.String("url", "", "address that users download the archives from, for install.sh")
	flag.Parse()
	if err := run(*out, *version, *url, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// source is what a release is built from.
type source struct {
	version string // v1.2.3, or v0.0.0-DATE-COMMIT for a commit without a tag
	commit  string // 40 digits; "" outside of a git checkout
	time    time.Time
}

func run(out, version, url string, names []string) error {
	if _, err := os.Stat(filepath.Join("cmd", "bitnet")); err != nil {
		return errors.New("run this in the top folder of bitnet's source")
	}
	wanted, err := choose(names)
	if err != nil {
		return err
	}
	from, err := readSource(version)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	built := 0
	for _, t := range wanted {
		if why := t.missing(); why != "" {
			if len(names) > 0 {
				return fmt.Errorf("cannot build %s: %s", t, why)
			}
			fmt.Printf("release: %s is left out: %s\n", t, why)
			continue
		}
		if err := release(t, from, out); err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
		built++
	}
	if built == 0 {
		return errors.New("nothing was built: install a C compiler")
	}
	if err := writeInstaller(filepath.Join("docs", "install.sh"), filepath.Join(out, "install.sh"), url); err != nil {
		return err
	}
	return writeChecksums(out)
}

// release builds, checks and packs the program for one system.
func release(t target, from source, out string) error {
	temp, err := os.MkdirTemp("", "bitnet-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	program := filepath.Join(temp, t.program())
	if err := t.build(program, from); err != nil {
		return err
	}
	if err := checkNeeds(program, t.os); err != nil {
		return err
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return err
	}
	if !stamped(info, from.commit) {
		fmt.Printf("release: %s: Go put no commit into the program: build in a clone, not in a worktree or a submodule\n", t)
	}
	parts, err := readParts(program, info)
	if err != nil {
		return err
	}
	sbom, err := parts.sbom(t, from)
	if err != nil {
		return err
	}
	licences, err := parts.licences()
	if err != nil {
		return err
	}
	files, err := contents(t, program, sbom, licences)
	if err != nil {
		return err
	}
	archive := filepath.Join(out, t.archive())
	if err := pack(archive, t.folder(), files, from.time); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, t.folder()+".cdx.json"), sbom, 0o644); err != nil {
		return err
	}
	packed, err := os.Stat(archive)
	if err != nil {
		return err
	}
	fmt.Printf("release: %s, %.1f MiB\n", archive, float64(packed.Size())/(1<<20))
	return nil
}

// stamped says whether a program names its commit, in bitnet version and in the provenance of runs.
func stamped(info *buildinfo.BuildInfo, commit string) bool {
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value == commit
		}
	}
	return false
}

// readSource asks git for the commit and its time; $SOURCE_DATE_EPOCH overrides the time.
func readSource(version string) (source, error) {
	s := source{version: version, time: time.Unix(0, 0).UTC()}
	git := func(args ...string) string {
		text, err := exec.Command("git", args...).Output()
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(text))
	}
	s.commit = git("rev-parse", "HEAD")
	seconds := git("log", "-1", "--format=%ct")
	if epoch := os.Getenv("SOURCE_DATE_EPOCH"); epoch != "" {
		seconds = epoch
	}
	if seconds != "" {
		n, err := strconv.ParseInt(seconds, 10, 64)
		if err != nil || n < 0 {
			return s, fmt.Errorf("SOURCE_DATE_EPOCH is %q: set it to seconds since 1970", seconds)
		}
		s.time = time.Unix(n, 0).UTC()
	}
	if s.version == "" {
		s.version = git("describe", "--tags", "--exact-match", "--match", "v*")
	}
	if s.version == "" {
		s.version = s.time.Format("v0.0.0-20060102150405")
		if s.commit != "" {
			s.version += "-" + s.commit[:12]
		}
		if git("status", "--porcelain") != "" {
			s.version += "-changed"
		}
	}
	if !regexp.MustCompile(`^v\d+\.\d+\.\d+[0-9A-Za-z.+-]*$`).MatchString(s.version) {
		return s, fmt.Errorf("%q is not a version: use the form v1.2.3", s.version)
	}
	return s, nil
}
