package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
)

func TestCompletion(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, run := range []string{"runs/bitnet_simple_1", "runs/bitnet_text_2", "others/mine"} {
		require.NoError(t, os.MkdirAll(run, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(run, "config.yaml"), nil, 0o600))
	}
	require.NoError(t, os.MkdirAll("runs/no-run", 0o755))
	rows := []struct {
		args string
		want []string
	}{
		{"train --exp t", []string{"arithmetic", "chat", "text", "tictactoe", "tinystories"}},
		{"bench step --exp base", []string{"baseline"}},
		{"train --backend wg", []string{"wgpu"}},
		{"train --on-anomaly ", []string{"warn", "stop", "rollback"}},
		{"train --resume runs/bitnet_s", []string{"runs/bitnet_simple_1"}},
		{"eval ", []string{"runs/bitnet_simple_1", "runs/bitnet_text_2"}},
		{"play tictactoe text", []string{"runs/bitnet_text_2"}},
		{"plot runs/bitnet_text_2 ", []string{"runs/bitnet_simple_1"}},
		{"status --runs-dir others ", []string{"list", "others/mine"}},
		{"cost --device m1", []string{"Apple M1", "Apple M1 Max"}},
		{"train --set seq", []string{"train.seq_len="}},
		{"cost --set weight_d", []string{"train.weight_decay=", "train.weight_decay_late="}},
		{"cost --device thi", []string{"this"}},
	}
	if adapters, err := gpu.Adapters(); err == nil && len(adapters) > 0 {
		name := adapters[0].Name
		rows = append(rows, struct {
			args string
			want []string
		}{"train --device " + strings.ToLower(name[:3]), []string{name}})
	}
	for _, row := range rows {
		root := rootCommand()
		out := new(bytes.Buffer)
		root.SetOut(out)
		root.SetErr(new(bytes.Buffer))
		root.SetArgs(append([]string{"__complete"}, strings.Split(row.args, " ")...))
		require.NoError(t, root.Execute(), row.args)
		var got []string
		for line := range strings.Lines(out.String()) {
			if line = strings.TrimSpace(line); !strings.HasPrefix(line, ":") {
				value, _, _ := strings.Cut(line, "\t")
				got = append(got, value)
			}
		}
		for _, want := range row.want {
			require.Contains(t, got, want, row.args)
		}
		require.Len(t, got, len(row.want), "%s: %v", row.args, got)
	}
}
