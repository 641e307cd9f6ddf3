package main

import (
	"bytes"
	"errors"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestShaderCommand(t *testing.T) {
	run := func(args ...string) (string, error) {
		root := rootCommand()
		out := new(bytes.Buffer)
		root.SetOut(out)
		root.SetErr(new(bytes.Buffer))
		root.SetArgs(append([]string{"shader"}, args...))
		err := root.Execute()
		return out.String(), err
	}
	for _, row := range []struct {
		args []string
		want string // a pattern of the output
	}{
		{nil, `(?m)^ +\d+ +\d+ +\d+ +[\d.]+  adamw \d+ +optimizer/adamw +step state -> p g m v$`},
		{[]string{"--exp", "simple", "--target", "cpu+table"}, `attention/forward_table +qkv -> o lse`},
		{[]string{"--exp", "text", "--batch-size", "2", "--seq-len", "16"}, `embedding 32x`},
		{[]string{"cross-entropy", "--exp", "tictactoe", "--set", "train.steps=10"}, `^// Softmax cross-entropy (?s:.*)fn main\(`},
		{[]string{"attention", "dq", "--target", "cpu"}, `^// Gradient of attention with respect to the queries`},
		{[]string{"loss/gather"}, `^// Adds a micro-batch's mean loss`},
		{[]string{"1"}, `^// Embedding`},
		{[]string{"--matrix", "--precision", "mixed"}, `matmul/matrix +a b scale -> c; f16 units`},
		{[]string{"--packed"}, `matmul/packed +a b rows cols -> c; packed`},
	} {
		out, err := run(row.args...)
		require.NoError(t, err, row.args)
		require.Regexp(t, regexp.MustCompile(row.want), out, row.args)
	}
	for _, row := range []struct {
		args []string
		want string
	}{
		{[]string{"nothing like it"}, "no kernel of the step matches"},
		{[]string{"attention"}, "choose one by its number: "},
		{[]string{"1000"}, "the step has kernels 1 to "},
		{[]string{"--target", "tpu"}, "gpu, cpu, cpu+table"},
		{[]string{"--target", "cpu", "--matrix"}, "--target gpu"},
	} {
		_, err := run(row.args...)
		require.ErrorContains(t, err, row.want, row.args)
		require.True(t, errors.As(err, new(usageError)), row.args)
	}
}
