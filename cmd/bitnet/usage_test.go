package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"bitnet/bitnet/train"
)

// command runs the program itself: what it prints and its exit code.
func command(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&errs)
	code = run(t.Context(), root)
	return out.String(), errs.String(), code
}

// A mistake in the command line ends in one line that says what was meant, and
// in exit code 2.
func TestUsage(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.yaml")
	simple, err := train.Preset("simple")
	require.NoError(t, err)
	text := strings.Replace(string(simple.YAML()), "learning_rate:", "learning_rat:", 1)
	require.NoError(t, os.WriteFile(config, []byte(text), 0o600))

	for _, row := range []struct {
		args string
		want []string
	}{
		// names
		{"trian", []string{`bitnet has no command "trian" (did you mean train?)`, "bitnet --help"}},
		{"poem", []string{`bitnet has no command "poem"; see bitnet --help`}},
		{"bench stpe", []string{`bitnet bench has no command "stpe" (did you mean step?)`, "bitnet bench --help"}},
		{"data perpare x", []string{`bitnet data has no command "perpare" (did you mean prepare?)`}},
		{"play tictactoo", []string{`bitnet play has no command "tictactoo" (did you mean tictactoe?)`}},
		{"tokenizer trai", []string{"(did you mean train?)"}},
		{"train --num-step 5", []string{"there is no flag --num-step (did you mean --num-steps?)", "bitnet train --help"}},
		{"train --qqqqqq", []string{"there is no flag --qqqqqq; see bitnet train --help"}},
		{"train -z", []string{"there is no flag -z"}},
		{"bench step --reapeat 3", []string{"(did you mean --repeat?)", "bitnet bench step --help"}},
		{"train --exp simpel", []string{`there is no experiment "simpel" (did you mean simple?)`, "tinystories"}},
		{"cost --exp arithmetics", []string{"(did you mean arithmetic?)"}},
		{"train --exp simple --set warmup=3", []string{`there is no key "warmup" (did you mean warmup_steps?)`}},
		{"train --exp simple --set train.learning_rte=3", []string{`"train.learning_rte" (did you mean train.learning_rate?)`}},
		{"train --config " + config, []string{"config.yaml: line ", `there is no key "learning_rat" (did you mean learning_rate?)`}},
		{"arena " + shippedModel + " --against prefect", []string{"--against", "(did you mean perfect?)", "random"}},
		{"chat " + shippedModel + " --format chatmll", []string{"--format", "(did you mean chatml?)"}},

		// values
		{"train --exp simple --lr abc", []string{`--lr "abc": want a number; see bitnet train --help`}},
		{"train --exp simple --num-steps 1.5", []string{`--num-steps "1.5": want a whole number`}},
		{"train --exp simple --seed -1", []string{`--seed "-1": want a whole number, 0 or more`}},
		{"train --exp simple --dry-run=perhaps", []string{`--dry-run "perhaps": want true or false`}},
		{"train --exp simple --num-steps", []string{"--num-steps needs a value"}},
		{"train --exp simple --set steps=many", []string{"--set steps=many: many is not a whole number"}},
		{"train --exp simple --set steps=1.5", []string{"want a whole number"}},
		{"train --exp simple --set steps", []string{"want key=value"}},
		{"train --exp simple --set hidden_size=7", []string{"model.hidden_size 7"}},
		{"train --exp simple --num-steps 0", []string{"train.steps is 0"}},
		{"train", []string{"choose what to train: --exp "}},
		{"train simple", []string{`want flags only, got "simple"; see bitnet train --help`}},
		{"eval", []string{"want a run, a checkpoint or a model, got no arguments"}},
		{"eval a b", []string{"got 2 arguments"}},
	} {
		stdout, stderr, code := command(t, strings.Fields(row.args)...)
		require.Equal(t, 2, code, "%s: %s", row.args, stderr)
		require.Empty(t, stdout, row.args)
		require.Equal(t, 1, strings.Count(stderr, "\n"), "%s: %s", row.args, stderr)
		require.True(t, strings.HasPrefix(stderr, "bitnet: "), stderr)
		for _, want := range row.want {
			require.Contains(t, stderr, want, row.args)
		}
		for _, jargon := range []string{"strconv", "ParseInt", "!!", "unmarshal", "invalid syntax", "train.Config", "[]"} {
			require.NotContains(t, stderr, jargon, row.args)
		}
	}
}

// What goes wrong with a right command line is exit code 1.
func TestErrorsOfARun(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for _, args := range [][]string{
		{"train", "--resume", none}, {"train", "--config", none}, {"eval", none, "--runs-dir", t.TempDir()}, {"export", none, "-o", filepath.Join(t.TempDir(), "x")},
	} {
		_, stderr, code := command(t, args...)
		require.Equal(t, 1, code, stderr)
		require.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
	}
	_, stderr, code := command(t, "eval", none+"\x1b]0;title\a\n\u202e", "--runs-dir", t.TempDir())
	require.Equal(t, 1, code)
	require.Contains(t, stderr, none+`\x1b]0;title\a\n\u202e`, "a name cannot steer the terminal")
}

func TestVersion(t *testing.T) {
	word, stderr, code := command(t, "version")
	require.Zero(t, code)
	require.Empty(t, stderr)
	require.Regexp(t, `^bitnet \S+.* \(go[^ ]+, \w+/\w+\)\n$`, word)
	flag, stderr, code := command(t, "--version")
	require.Zero(t, code)
	require.Empty(t, stderr)
	require.Equal(t, word, flag)
	_, stderr, code = command(t, "version", "now")
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "want no arguments")

	before := release
	defer func() { release = before }()
	release = "v1.2.3"
	word, _, _ = command(t, "version")
	require.True(t, strings.HasPrefix(word, "bitnet v1.2.3 "), word)

	require.Empty(t, commitOf(nil))
	vcs := map[string]string{"vcs.revision": strings.Repeat("0123456789", 4), "vcs.time": "2026-11-28T15:00:00Z"}
	require.Equal(t, " 012345678901 of 2026-11-28", commitOf(vcs))
	vcs["vcs.modified"] = "true"
	require.Equal(t, " 012345678901 of 2026-11-28 with changes", commitOf(vcs))
}

// A command that holds others shows its help when none is named.
func TestHelpOfGroups(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		if !c.HasAvailableSubCommands() {
			return
		}
		words := strings.Fields(c.CommandPath())[1:]
		switch c.Name() {
		case "status", "completion", "help", "runs": // which do something themselves
			return
		}
		stdout, stderr, code := command(t, words...)
		require.Zero(t, code, "%s: %s", c.CommandPath(), stderr)
		require.Contains(t, stdout, "Available Commands", c.CommandPath())
	}
	walk(rootCommand())
}
