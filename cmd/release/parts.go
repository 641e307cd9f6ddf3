package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
)

// part is something of others that a program contains.
type part struct {
	kind    string // golang, cargo or github: the types of package URLs
	name    string
	version string
	licence string // SPDX expression, "" where it is not known
	sum     string // of a Go module: h1:...
	dir     string // of a Go module in the module cache
}

func (p part) url() string {
	return fmt.Sprintf("pkg:%s/%s@%s", p.kind, p.name, strings.ReplaceAll(p.version, "+", "%2B"))
}

// parts are what a program contains: the Go standard library, Go modules and Rust crates.
type parts []part

// crate finds the Rust crates of wgpu-native: their places in the source stand in its messages.
var (
	crate  = regexp.MustCompile(`registry/src/[^/]{1,80}/([a-z0-9_-]+?)-(\d+\.\d+\.\d+[0-9A-Za-z.+-]*)[/\\]`)
	commit = regexp.MustCompile(`git/checkouts/wgpu-[0-9a-f]{16}/([0-9a-f]{7,40})[/\\]`)
)

// readParts reads what a program was built from; info is what Go noted in it.
func readParts(program string, info *debug.BuildInfo) (parts, error) {
	out, err := goParts(info)
	if err != nil {
		return nil, err
	}
	code, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	return append(out, rustParts(code)...), nil
}

// goParts are the standard library and the modules that Go noted in a program.
func goParts(info *debug.BuildInfo) (parts, error) {
	out := parts{{kind: "golang", name: "std", version: strings.TrimPrefix(info.GoVersion, "go"), licence: "BSD-3-Clause"}}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		dir, err := moduleDir(m.Path)
		if err != nil {
			return nil, err
		}
		text, err := licenceText(dir)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Path, err)
		}
		licence := licenceOf(text)
		if licence == "" {
			return nil, fmt.Errorf("the licence of %s is not one that is known here: read it, then add it to cmd/release/parts.go", m.Path)
		}
		out = append(out, part{kind: "golang", name: m.Path, version: m.Version, licence: licence, sum: m.Sum, dir: dir})
	}
	return out, nil
}

// rustParts are wgpu and the crates that leave their name in a program.
func rustParts(code []byte) (out parts) {
	code = bytes.ReplaceAll(code, []byte(`\`), []byte("/"))
	if m := commit.FindSubmatch(code); m != nil {
		out = append(out, part{kind: "github", name: "gfx-rs/wgpu", version: string(m[1]), licence: "MIT OR Apache-2.0"})
	}
	seen := map[string]bool{}
	for _, m := range crate.FindAllSubmatch(code, -1) {
		p := part{kind: "cargo", name: string(m[1]), version: string(m[2])}
		if !seen[p.url()] {
			seen[p.url()] = true
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b part) int { return strings.Compare(a.url(), b.url()) })
	return out
}

// moduleDir is where the source of a module is.
func moduleDir(path string) (string, error) {
	text, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", path).Output()
	dir := strings.TrimSpace(string(text))
	if err != nil || dir == "" {
		return "", fmt.Errorf("the source of module %s is not here: run go mod download", path)
	}
	return dir, nil
}

var licenceName = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)`)

// licenceText joins the files of a folder, and of licenses/ in it, that say under which terms it
// may be used.
func licenceText(dir string) ([]byte, error) {
	var out bytes.Buffer
	for _, pattern := range []string{"*", "licenses/*"} {
		paths, err := fs.Glob(os.DirFS(dir), pattern) // by name
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			if pattern == "*" && !licenceName.MatchString(path) {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, path))
			if err != nil {
				if info, e := os.Stat(filepath.Join(dir, path)); e == nil && info.IsDir() {
					continue
				}
				return nil, err
			}
			fmt.Fprintf(&out, "%s\n", bytes.TrimSpace(text))
		}
	}
	if out.Len() == 0 {
		return nil, errors.New("it has no licence")
	}
	return out.Bytes(), nil
}

// phrases tell licences apart; the first of those with one name that fits counts.
var phrases = []struct{ words, spdx string }{
	{"apache license version 2.0", "Apache-2.0"},
	{"apache license, version 2.0", "Apache-2.0"},
	{"permission is hereby granted, free of charge", "MIT"},
	{"freetype license", "FTL"},
	{"creative commons attribution 4.0", "CC-BY-4.0"},
	{"sil open font license", "OFL-1.1"},
	{"neither the name", "BSD-3-Clause"},
	{"may not be used to endorse or promote products", "BSD-3-Clause"},
	{"redistribution and use in source and binary forms", "BSD-2-Clause"},
}

// licenceOf is the SPDX expression of a licence's text; "" if it is not known.
func licenceOf(text []byte) string {
	plain := strings.Join(strings.Fields(strings.ToLower(string(text))), " ")
	var found []string
	for _, p := range phrases {
		if !strings.Contains(plain, p.words) || slices.Contains(found, p.spdx) || p.spdx == "BSD-2-Clause" && slices.Contains(found, "BSD-3-Clause") {
			continue
		}
		found = append(found, p.spdx)
	}
	return strings.Join(found, " AND ")
}

// licences is the text that must come with the program.
func (all parts) licences() ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("bitnet contains the following works of others.\n")
	for _, p := range all {
		fmt.Fprintf(&out, "\n%s\n%s %s\n", strings.Repeat("=", 72), p.name, p.version)
		switch {
		case p.name == "std":
			root, err := exec.Command("go", "env", "GOROOT").Output()
			if err != nil {
				return nil, fmt.Errorf("go env GOROOT: %w", err)
			}
			text, err := licenceText(strings.TrimSpace(string(root)))
			if err != nil {
				return nil, fmt.Errorf("the Go installation: %w", err)
			}
			fmt.Fprintf(&out, "The Go standard library and runtime.\n\n%s", text)
		case p.dir != "":
			text, err := licenceText(p.dir)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
			fmt.Fprintf(&out, "\n%s", text)
		case p.kind == "cargo":
			fmt.Fprintf(&out, "A Rust crate in wgpu-native; its terms: https://crates.io/crates/%s\n", p.name)
		default:
			fmt.Fprintf(&out, "In wgpu-native, under %s: https://github.com/%s\n", p.licence, p.name)
		}
	}
	return out.Bytes(), nil
}

// The parts of CycloneDX 1.5 (https://cyclonedx.org/docs/1.5/json/) that are used.
type (
	bom struct {
		Format       string      `json:"bomFormat"`
		Spec         string      `json:"specVersion"`
		Serial       string      `json:"serialNumber"`
		Version      int         `json:"version"`
		Metadata     metadata    `json:"metadata"`
		Components   []component `json:"components"`
		Dependencies []depends   `json:"dependencies"`
	}
	metadata struct {
		Timestamp string    `json:"timestamp"`
		Component component `json:"component"`
	}
	component struct {
		Type       string     `json:"type"`
		Ref        string     `json:"bom-ref"`
		Name       string     `json:"name"`
		Version    string     `json:"version"`
		Licences   []licence  `json:"licenses,omitempty"`
		URL        string     `json:"purl,omitempty"`
		Properties []property `json:"properties,omitempty"`
	}
	licence struct {
		Expression string `json:"expression"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	depends struct {
		Ref string   `json:"ref"`
		On  []string `json:"dependsOn"`
	}
)

// sbom lists the parts as CycloneDX JSON.
func (all parts) sbom(t target, from source) ([]byte, error) {
	top := component{Type: "application", Ref: "bitnet", Name: "bitnet", Version: from.version, Licences: []licence{{"MIT"}},
		Properties: []property{{"bitnet:commit", from.commit}, {"bitnet:system", t.String()}}}
	b := bom{Format: "CycloneDX", Spec: "1.5", Version: 1, Serial: serial(t, from),
		Metadata: metadata{from.time.Format("2006-01-02T15:04:05Z"), top}}
	uses := depends{Ref: top.Ref, On: []string{}}
	for _, p := range all {
		c := component{Type: "library", Ref: p.url(), Name: p.name, Version: p.version, URL: p.url()}
		if p.licence != "" {
			c.Licences = []licence{{p.licence}}
		}
		if p.sum != "" {
			c.Properties = []property{{"go:sum", p.sum}}
		}
		b.Components = append(b.Components, c)
		uses.On = append(uses.On, p.url())
	}
	b.Dependencies = []depends{uses}
	text, err := json.MarshalIndent(b, "", "  ")
	return append(text, '\n'), err
}
