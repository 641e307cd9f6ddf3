package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"bitnet/bitnet/cost"
	"bitnet/bitnet/train"
)

const project = "../.."

// docPages are README.md and all pages under docs/, by their paths in the project.
func docPages(t *testing.T) map[string]string {
	t.Helper()
	paths := []string{"README.md"}
	require.NoError(t, fs.WalkDir(os.DirFS(project), "docs", func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".md") {
			paths = append(paths, path)
		}
		return err
	}))
	out := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(filepath.Join(project, path))
		require.NoError(t, err)
		out[path] = string(text)
	}
	return out
}

var (
	inlineCode = regexp.MustCompile("`([^`]+)`")
	fence      = regexp.MustCompile("^ *```")
)

// codeLines are the lines of a page's code blocks, indented or fenced, and its
// inline code.
func codeLines(page string) []string {
	var out []string
	var prose []string
	fenced := false
	for _, line := range strings.Split(page, "\n") {
		switch {
		case fence.MatchString(line):
			fenced = !fenced
		case fenced || strings.HasPrefix(line, "    "):
			out = append(out, strings.TrimSpace(line))
		case strings.TrimSpace(line) == "":
			prose = append(prose, "\n")
		default:
			prose = append(prose, line)
		}
	}
	// Inline code may go over the end of a line.
	for _, paragraph := range strings.Split(strings.Join(prose, " "), "\n") {
		for _, m := range inlineCode.FindAllStringSubmatch(paragraph, -1) {
			out = append(out, m[1])
		}
	}
	return out
}

// commandWords are the words of the bitnet command in a line of code, without
// its name; nil if there is none.
func commandWords(line string) []string {
	line = strings.TrimPrefix(strings.TrimPrefix(line, "$ "), "source <(")
	name, rest, _ := strings.Cut(line, " ")
	if name != "bitnet" && name != "build/bitnet" || strings.HasPrefix(rest, " ") { // a column of a table
		return nil
	}
	words := []string{}
	for _, w := range shellWords(rest) {
		if w != "" && strings.ContainsAny(w[:1], "#|>&;") {
			break
		}
		words = append(words, strings.TrimSuffix(w, ")"))
	}
	return words
}

// shellWords splits at spaces outside of double quotes, and takes those away.
func shellWords(s string) []string {
	quoted := false
	words := strings.FieldsFunc(s, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ' ' && !quoted
	})
	for i := range words {
		words[i] = strings.ReplaceAll(words[i], `"`, "")
	}
	return words
}

var placeholder = regexp.MustCompile(`^(\.\.\.|[A-Z][A-Z|/]*)$`)

// findFlag finds a flag of a command by "--name", "--name=value" or "-n".
func findFlag(c *cobra.Command, word string) *pflag.Flag {
	name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
	c.InitDefaultHelpFlag()
	if strings.HasPrefix(word, "--") {
		return c.Flag(name)
	}
	if len(name) == 1 {
		return c.Flags().ShorthandLookup(name)
	}
	return nil
}

// checkCommand says what a documented command names that is not there.
func checkCommand(root *cobra.Command, words []string) error {
	if len(words) > 0 && placeholder.MatchString(words[0]) {
		return nil
	}
	c, rest, err := root.Find(words)
	if err != nil {
		return err
	}
	for i, w := range rest {
		if !strings.HasPrefix(w, "-") || w == "-" {
			if i == 0 && c.HasSubCommands() && !strings.Contains(c.Use, " ") && !placeholder.MatchString(w) {
				return fmt.Errorf("%s has no command %s", c.CommandPath(), w)
			}
			continue
		}
		f := findFlag(c, w)
		if f == nil {
			return fmt.Errorf("%s has no flag %s", c.CommandPath(), w)
		}
		if f.Name == "set" && i+1 < len(rest) {
			if err := checkSetting(rest[i+1]); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkSetting says whether a documented --set names a key.
func checkSetting(assignment string) error {
	if key, _, _ := strings.Cut(assignment, "="); key == "key" {
		return nil
	}
	c, err := train.Preset("arithmetic")
	if err != nil {
		return err
	}
	err = c.Set(assignment)
	if err != nil && strings.HasSuffix(assignment, "=N") { // any number
		return nil
	}
	return err
}

// Every command, flag and setting that README and docs name is there.
func TestDocumentedCommands(t *testing.T) {
	root := rootCommand()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd("completion")
	all := map[string]bool{}
	var collect func(*cobra.Command)
	collect = func(c *cobra.Command) {
		c.InitDefaultHelpFlag()
		for _, flags := range []*pflag.FlagSet{c.Flags(), c.PersistentFlags()} {
			flags.VisitAll(func(f *pflag.Flag) { all["--"+f.Name] = true })
		}
		for _, sub := range c.Commands() {
			collect(sub)
		}
	}
	collect(root)
	commands, flags := 0, 0
	for path, page := range docPages(t) {
		for _, line := range codeLines(page) {
			if words := commandWords(line); words != nil {
				commands++
				require.NoError(t, checkCommand(root, words), "%s: %s", path, line)
				continue
			}
			if words := shellWords(line); strings.HasPrefix(line, "--") && len(words) > 0 && regexp.MustCompile(`^--[a-z][a-z-]*(=|$)`).MatchString(words[0]) {
				flags++
				name, _, _ := strings.Cut(words[0], "=")
				require.True(t, all[name], "%s: no command has the flag %s", path, name)
				if name == "--set" && len(words) > 1 {
					require.NoError(t, checkSetting(words[1]), "%s: %s", path, line)
				}
			}
		}
	}
	require.Greater(t, commands, 60)
	require.Greater(t, flags, 40)
}

// The check above finds what is wrong.
func TestCheckCommand(t *testing.T) {
	root := rootCommand()
	for _, row := range []struct{ line, err string }{
		{"bitnet train --exp simple # it works", ""},
		{"build/bitnet plot RUN -o x.png > log", ""},
		{"bitnet bench step --json | head --lines=3", ""},
		{"bitnet COMMAND --help", ""},
		{"bitnet status list --json", ""},
		{"bitnet status my_run", ""},
		{`bitnet train --exp simple --set output.prompts="[a b]"`, ""},
		{"bitnet trian", "no command trian"},
		{"bitnet bench stop", "no command stop"},
		{"bitnet train --exq simple", "no flag --exq"},
		{"bitnet eval RUN -z", "no flag -z"},
		{"bitnet train --exp simple --set train.speed=9", "there is no key"},
	} {
		words := commandWords(row.line)
		require.NotNil(t, words, row.line)
		if err := checkCommand(root, words); row.err == "" {
			require.NoError(t, err, row.line)
		} else {
			require.ErrorContains(t, err, row.err, row.line)
		}
	}
	require.Nil(t, commandWords("make build"))
	require.Equal(t, []string{"a `", "b c", "d"}, func() []string {
		return codeLines("text\n\n    a `\n\n```sh\nb c\n```\nand `d`, more")
	}())
}

// Every target of make that the pages name is in the Makefile.
func TestDocumentedTargets(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(project, "Makefile"))
	require.NoError(t, err)
	targets := regexp.MustCompile(`(?m)^([a-z][a-z -]*):`).FindAllStringSubmatch(string(makefile), -1)
	var known []string
	for _, m := range targets {
		known = append(known, strings.Fields(m[1])...)
	}
	named := 0
	for path, page := range docPages(t) {
		for _, line := range codeLines(page) {
			words := strings.Fields(line)
			if len(words) < 2 || words[0] != "make" || !regexp.MustCompile(`^[a-z-]+$`).MatchString(words[1]) {
				continue
			}
			named++
			require.Contains(t, known, words[1], "%s: %s", path, line)
		}
	}
	require.Greater(t, named, 10)
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

// anchor is what a heading is linked by.
func anchor(heading string) string {
	s := strings.ToLower(regexp.MustCompile("[^A-Za-z0-9 _-]").ReplaceAllString(heading, ""))
	return strings.ReplaceAll(strings.TrimSpace(s), " ", "-")
}

// Links between pages lead to files and headings that are there.
func TestDocumentedLinks(t *testing.T) {
	links := 0
	for path, page := range docPages(t) {
		for _, m := range link.FindAllStringSubmatch(page, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			links++
			file, section, _ := strings.Cut(m[1], "#")
			target := filepath.Join(project, filepath.Dir(path), file)
			if file == "" {
				target = filepath.Join(project, path)
			}
			text, err := os.ReadFile(target)
			if info, e := os.Stat(target); e == nil && info.IsDir() && section == "" {
				continue
			}
			require.NoError(t, err, "%s links to %s", path, m[1])
			if section != "" {
				var anchors []string
				for _, h := range heading.FindAllStringSubmatch(string(text), -1) {
					anchors = append(anchors, anchor(h[1]))
				}
				require.Contains(t, anchors, section, "%s links to %s", path, m[1])
			}
		}
	}
	require.Greater(t, links, 20)
}

// The index of docs/ has every page.
func TestDocumentationIndex(t *testing.T) {
	pages := docPages(t)
	index := pages["docs/README.md"] + pages["docs/experiments.md"]
	for path := range pages {
		if rest, in := strings.CutPrefix(path, "docs/"); in && rest != "README.md" {
			require.True(t, strings.Contains(index, "("+rest+")"), "docs/README.md does not list %s: add it there", rest)
		}
	}
}

// plain writes a number in one form, and leaves other text as it is.
func plain(s string) string {
	if v, err := strconv.ParseFloat(s, 64); err == nil {
		return fmt.Sprint(v)
	}
	return s
}

// The page of each experiment holds the values of its preset.
func TestExperimentPages(t *testing.T) {
	pages := docPages(t)
	row := regexp.MustCompile("(?m)^\\| `([a-z_]+\\.[a-z0-9_]+)` \\| (.*) \\|$")
	for _, name := range train.Presets() {
		page := pages["docs/experiments/"+name+".md"]
		require.NotEmpty(t, page, "docs/experiments/%s.md", name)
		c, err := train.Preset(name)
		require.NoError(t, err)
		var preset map[string]map[string]any
		require.NoError(t, yaml.Unmarshal(c.YAML()[bytes.IndexByte(c.YAML(), '\n')+1:], &preset)) // without its name
		rows := row.FindAllStringSubmatch(page, -1)
		require.Greater(t, len(rows), 30, name)
		for _, m := range rows {
			section, key, _ := strings.Cut(m[1], ".")
			want, is := preset[section][key]
			require.True(t, is, "docs/experiments/%s.md: there is no %s", name, m[1])
			require.Equal(t, plain(fmt.Sprint(want)), plain(strings.TrimSuffix(m[2], "(none)")), "docs/experiments/%s.md: %s", name, m[1])
		}
		for _, key := range []string{"model.hidden_size", "data.source", "train.steps", "train.learning_rate"} {
			require.Contains(t, page, "| `"+key+"` |", name)
		}
		run, err := cost.OfConfig(c, cost.Card(), 0)
		require.NoError(t, err)
		require.Contains(t, page, thousands(run.Params)+" parameters", name)
		require.Contains(t, pages["docs/experiments.md"], thousands(run.Params), name)
	}
}

// docs/kernels.md names every kernel's file, alone or by a pattern.
func TestDocumentedKernels(t *testing.T) {
	var patterns []string
	for _, m := range regexp.MustCompile("`([a-z0-9_*/]+\\.wgsl)`").FindAllStringSubmatch(docPages(t)["docs/kernels.md"], -1) {
		patterns = append(patterns, m[1])
	}
	files, err := filepath.Glob(filepath.Join(project, "shaders", "*.wgsl"))
	require.NoError(t, err)
	families, err := filepath.Glob(filepath.Join(project, "shaders", "*", "*.wgsl"))
	require.NoError(t, err)
	require.Greater(t, len(families), 20)
	for _, f := range families {
		if filepath.Base(filepath.Dir(f)) != "testdata" {
			files = append(files, f)
		}
	}
	for _, file := range files {
		name, err := filepath.Rel(filepath.Join(project, "shaders"), file)
		require.NoError(t, err)
		require.True(t, slices.ContainsFunc(patterns, func(p string) bool {
			ok, _ := filepath.Match(p, name)
			return ok
		}), "docs/kernels.md does not say what %s is: add it there", name)
	}
	for _, p := range patterns {
		found, err := filepath.Glob(filepath.Join(project, "shaders", p))
		require.NoError(t, err)
		require.True(t, len(found) > 0 || p == "shaders/tanh/tanh.wgsl", "docs/kernels.md names %s, which is not there", p)
	}
}
