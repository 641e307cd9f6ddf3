package main

import (
	"bytes"
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"bitnet/bitnet/cost"
	"bitnet/bitnet/train"
)

// dryRunExample is a fenced block of a page that shows lines of a dry run.
type dryRunExample struct {
	words []string // of the command, without "bitnet"
	lines []string // some lines of the output, in their order
}

// dryRunExamples are the fenced blocks that start with "$ bitnet train" and
// contain --dry-run in that line.
func dryRunExamples(page string) []dryRunExample {
	var out []dryRunExample
	for _, m := range regexp.MustCompile("(?ms)^```[a-z]*\n\\$ (bitnet train [^\n]*--dry-run[^\n]*)\n(.*?)^```$").FindAllStringSubmatch(page, -1) {
		out = append(out, dryRunExample{commandWords(m[1]), strings.Split(strings.TrimSpace(m[2]), "\n")})
	}
	return out
}

// missingLine is the first of the lines that does not follow in the output, or "".
func missingLine(output string, lines []string) string {
	rest := strings.Split(output, "\n")
	for _, line := range lines {
		for len(rest) > 0 && rest[0] != line {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			return line
		}
		rest = rest[1:]
	}
	return ""
}

// dryRunOnCard is what a bitnet train --dry-run prints on the card of package
// cost. The flags of an adapter make no difference, and pages do not give them.
func dryRunOnCard(words []string) (string, error) {
	c, rest, err := rootCommand().Find(words)
	if err != nil {
		return "", err
	}
	if err := c.ParseFlags(rest); err != nil {
		return "", err
	}
	var f trainFlags
	flags := c.Flags()
	flags.Visit(func(x *pflag.Flag) {
		var e error
		switch x.Name {
		case "dry-run":
		case "exp":
			f.exp, e = flags.GetString(x.Name)
		case "data":
			f.data, e = flags.GetString(x.Name)
		case "set":
			f.set, e = flags.GetStringArray(x.Name)
		case "num-steps":
			f.steps, e = flags.GetInt(x.Name)
		case "batch-size":
			f.batch, e = flags.GetInt(x.Name)
		case "seq-len":
			f.seq, e = flags.GetInt(x.Name)
		case "grad-accum":
			f.accum, e = flags.GetInt(x.Name)
		default:
			e = fmt.Errorf("this test does not read --%s: add it here", x.Name)
		}
		if e != nil {
			err = e
		}
	})
	if err != nil {
		return "", err
	}
	cfg, err := f.configuration(c)
	if err != nil {
		return "", err
	}
	if err := cfg.Check(); err != nil {
		return "", err
	}
	var out bytes.Buffer
	err = dryRun(&out, cfg, cost.Card())
	return out.String(), err
}

// What pages show of a dry run is what it prints, and the page of each
// experiment shows one.
func TestDocumentedDryRuns(t *testing.T) {
	shown := map[string]bool{}
	for path, page := range docPages(t) {
		examples := dryRunExamples(page)
		require.Equal(t, len(regexp.MustCompile(`(?m)^ *\$ bitnet train .*--dry-run`).FindAllString(page, -1)), len(examples),
			"%s: a dry run that starts with $ stands alone in a fenced block", path)
		for _, e := range examples {
			output, err := dryRunOnCard(e.words)
			require.NoError(t, err, "%s: bitnet %s", path, strings.Join(e.words, " "))
			require.Empty(t, missingLine(output, e.lines), "%s: bitnet %s prints\n%s", path, strings.Join(e.words, " "), output)
			require.NotEmpty(t, e.lines[0], "%s: no line of output", path)
			for i, w := range e.words[:len(e.words)-1] {
				if w == "--exp" {
					shown[path+" "+e.words[i+1]] = true
				}
			}
		}
	}
	for _, name := range train.Presets() {
		require.True(t, shown["docs/experiments/"+name+".md "+name], "docs/experiments/%s.md shows no dry run of its experiment", name)
	}
}

// The check above finds what is wrong.
func TestDryRunExamples(t *testing.T) {
	page := "```\n$ bitnet train --exp simple --dry-run\na\nb\n```\n```sh\nbitnet train --exp simple --dry-run\n```\n\n    $ bitnet train --dry-run\n"
	require.Equal(t, []dryRunExample{{[]string{"train", "--exp", "simple", "--dry-run"}, []string{"a", "b"}}}, dryRunExamples(page))

	require.Empty(t, missingLine("a\nb\nc", []string{"a", "c"}))
	require.Equal(t, "d", missingLine("a\nb\nc", []string{"a", "d"}))
	require.Equal(t, "a", missingLine("a\nb\nc", []string{"c", "a"}))
	require.Equal(t, "a", missingLine("a\nb", []string{"a", "a"}))

	output, err := dryRunOnCard([]string{"train", "--exp", "simple", "--num-steps", "10", "--batch-size", "4", "--grad-accum", "2", "--set", "vocab_size=64", "--dry-run"})
	require.NoError(t, err)
	require.Empty(t, missingLine(output, []string{
		"tokens per step     256 (4 sequences x 32 tokens x 2 micro-batches)", "total tokens        2560", "first loss          about 4.16 = ln(64)",
	}), output)
	_, err = dryRunOnCard([]string{"train", "--exp", "simple", "--lr", "1", "--dry-run"})
	require.ErrorContains(t, err, "--lr")
}

// The table of docs/experiments.md holds the values of the presets.
func TestExperimentTable(t *testing.T) {
	page := docPages(t)["docs/experiments.md"]
	columns := []string{"simple", "arithmetic", "tictactoe", "tinystories", "baseline"}
	for _, row := range []struct {
		name  string
		value func(*train.Config) string
	}{
		{"vocabulary", func(c *train.Config) string { return thousands(int64(c.Model.VocabSize)) }},
		{"hidden / FFN", func(c *train.Config) string {
			return thousands(int64(c.Model.HiddenSize)) + " / " + thousands(int64(c.Model.IntermediateSize))
		}},
		{"layers, heads / KV heads", func(c *train.Config) string {
			return fmt.Sprintf("%d, %d / %d", c.Model.Layers, c.Model.Heads, c.Model.KVHeads)
		}},
		{"batch x sequence x accumulation", func(c *train.Config) string {
			return fmt.Sprintf("%d x %d x %d", c.Train.BatchSize, c.Train.SeqLen, c.Train.GradAccum)
		}},
		{"steps", func(c *train.Config) string { return thousands(int64(c.Train.Steps)) }},
		{"first loss, ln(vocabulary)", func(c *train.Config) string { return fmt.Sprintf("%.2f", math.Log(float64(c.Model.VocabSize))) }},
	} {
		m := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(row.name) + ` \| (.*) \|$`).FindStringSubmatch(page)
		require.NotNil(t, m, row.name)
		cells := strings.Split(m[1], " | ")
		require.Len(t, cells, len(columns), row.name)
		for i, name := range columns {
			c, err := train.Preset(name)
			require.NoError(t, err)
			want := row.value(c)
			if name == "tinystories" && row.name == "steps" { // its column is that of text, too
				text, err := train.Preset("text")
				require.NoError(t, err)
				want += " / " + row.value(text)
			}
			require.Equal(t, want, cells[i], "docs/experiments.md: %s of %s", row.name, name)
		}
	}
}
