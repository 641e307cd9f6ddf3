package main

import (
	"bytes"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

// Mistakes in the command line end in one line and the exit code of usage.
func TestMistakes(t *testing.T) {
	for _, row := range []struct {
		args  []string
		usage bool
		want  string
	}{
		{[]string{"train"}, true, "choose what to train"},
		{[]string{"train", "--exp", "nope"}, true, "choose one of"},
		{[]string{"train", "--exp", "text"}, true, "--data PATH"},
		{[]string{"train", "--exp", "simple", "--set", "stepz=1"}, true, "there is no key"},
		{[]string{"train", "--exp", "simple", "--num-steps", "x"}, true, "--num-steps"},
		{[]string{"train", "--exp", "simple", "--seq-len", "999"}, true, "max_position_embeddings"},
		{[]string{"train", "--exp", "simple", "--resume", "x"}, true, "leave out --exp"},
		{[]string{"train", "--resume", "nothing-here"}, false, "there is no run or checkpoint"},
		{[]string{"eval"}, true, "a run, a checkpoint or a model"},
	} {
		root := rootCommand()
		root.SetArgs(row.args)
		root.SetOut(new(bytes.Buffer))
		root.SetErr(new(bytes.Buffer))
		err := root.Execute()
		require.ErrorContains(t, err, row.want, row.args)
		require.NotContains(t, err.Error(), "\n", row.args)
		require.Equal(t, row.usage, isUsage(err), "%v: %v", row.args, err)
	}
}

func TestEveryCommandHasExamples(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		require.NotEmpty(t, c.Short, c.CommandPath())
		if c.HasParent() && !c.HasSubCommands() {
			require.NotEmpty(t, c.Example, c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(rootCommand())
}
