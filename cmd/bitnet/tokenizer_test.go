package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// runTokenizer gives what `bitnet tokenizer args` prints.
func runTokenizer(stdin string, args ...string) (stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	cmd := tokenizerCommand()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs(args)
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	err = cmd.Execute()
	return out.String(), errs.String(), err
}

func TestTokenizerCommand(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "text")
	require.NoError(t, os.MkdirAll(folder, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "a.txt"), []byte(strings.Repeat("the cat sat on the mat. ", 50)), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "b.jsonl"), []byte(`{"text":"the dog sat on the cat"}`+"\n"), 0o644))
	out := filepath.Join(dir, "tokenizer")

	printed, errs, err := runTokenizer("", "train", folder, "--vocab-size", "270", "--output", out)
	require.NoError(t, err)
	require.Contains(t, printed, "270 tokens, hash ")
	require.Empty(t, errs, "progress belongs on terminals only")
	require.FileExists(t, filepath.Join(out, "tokenizer.json"))

	_, _, err = runTokenizer("", "train", folder, "--vocab-size", "270", "--output", out)
	require.ErrorContains(t, err, "--force")
	_, errs, err = runTokenizer("", "train", folder, "--vocab-size", "5000", "--output", out, "--force")
	require.NoError(t, err)
	require.Contains(t, errs, "of 5000 tokens; give more text")

	const story = "<s>the cat, the \xffdog ☃\n"
	ids, _, err := runTokenizer(story, "encode", "-t", out)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(ids, "1 "), "%q", ids)
	back, _, err := runTokenizer(ids, "decode", "-t", out)
	require.NoError(t, err)
	require.Equal(t, story, back)
	back, _, err = runTokenizer("", append([]string{"decode", "-t", out}, strings.Fields(ids)...)...)
	require.NoError(t, err)
	require.Equal(t, story, back)

	two, _, err := runTokenizer("", "encode", "-t", out, "the cat", "the mat")
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(two, "\n"))
	tokens, _, err := runTokenizer("", "encode", "-t", out, "--tokens", "<s> the")
	require.NoError(t, err)
	require.Equal(t, "1\t\"<s>\" special\n", tokens[:strings.Index(tokens, "\n")+1])
	ordinary, _, err := runTokenizer("", "encode", "-t", out, "--ordinary", "<s>")
	require.NoError(t, err)
	require.NotEqual(t, "1\n", ordinary)

	info, _, err := runTokenizer("", "info", out)
	require.NoError(t, err)
	require.Regexp(t, `ends text +"</s>" 2`, info)
	require.Regexp(t, `splitting +gpt-2`, info)
	require.Regexp(t, `longest +\d+ bytes`, info)
	require.Regexp(t, `hash +[0-9a-f]{64}`, info)
}

func TestTokenizerCommandErrors(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.txt"), []byte("text"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bad.jsonl"), []byte("{"), 0o644))
	out := filepath.Join(dir, "tok")
	_, _, err := runTokenizer("", "train", filepath.Join(dir, "a.txt"), "--vocab-size", "260", "--output", out)
	require.NoError(t, err)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"train", "--output", "x"}, "requires at least 1 arg"},
		{[]string{"train", dir}, `"output" not set`},
		{[]string{"train", filepath.Join(dir, "none"), "--output", "x"}, "none"},
		{[]string{"train", filepath.Join(dir, "a.txt"), "--vocab-size", "100", "--output", filepath.Join(dir, "y")}, "a vocabulary of 100 is too small"},
		{[]string{"train", filepath.Join(dir, "bad.jsonl"), "--output", filepath.Join(dir, "y")}, "bad.jsonl: line 1"},
		{[]string{"encode", "text"}, `"tokenizer" not set`},
		{[]string{"encode", "-t", dir, "text"}, "give a tokenizer.json"},
		{[]string{"decode", "-t", out, "x"}, `"x" is not a token id`},
		{[]string{"decode", "-t", out, "999"}, "there is no token 999: this tokenizer has the tokens 0 to 259"},
		{[]string{"info", filepath.Join(dir, "a.txt")}, "not JSON at byte"},
	} {
		_, _, err := runTokenizer("", test.args...)
		require.ErrorContains(t, err, test.want, "%v", test.args)
		require.NotContains(t, err.Error(), "\n")
	}
}
