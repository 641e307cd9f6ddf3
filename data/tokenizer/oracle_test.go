package tokenizer

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

const oraclePackage = "@anush008/tokenizers@0.6.0" // Hugging Face tokenizers 0.22.2

// oracle is Hugging Face tokenizers in a node process.
type oracle struct {
	t   testing.TB
	to  *json.Encoder
	out *bufio.Reader
}

// newOracle starts an oracle, or skips the test where there is no node or the
// package cannot be installed. The package is kept in the user's cache folder.
func newOracle(t testing.TB, env ...string) *oracle {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: not comparing with Hugging Face tokenizers")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed: not comparing with Hugging Face tokenizers")
	}
	modules, err := oracleModules()
	if err != nil {
		t.Skipf("%s cannot be installed, not comparing with it: %v", oraclePackage, err)
	}
	script, err := filepath.Abs("testdata/oracle.js")
	require.NoError(t, err)
	cmd := exec.Command(node, script)
	cmd.Env = append(append(os.Environ(), "NODE_PATH="+modules, "TOKENIZERS_PARALLELISM=true"), env...)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	return &oracle{t: t, to: json.NewEncoder(in), out: bufio.NewReaderSize(out, 1<<20)}
}

var oracleModules = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "bitnet-test", "hf-tokenizers-0.6.0")
	modules := filepath.Join(dir, "node_modules")
	if _, err := os.Stat(dir); err == nil {
		return modules, nil
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "install-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(fresh)
	cmd := exec.Command(npm, "install", "--prefix", fresh, "--ignore-scripts", "--no-audit", "--no-fund", oraclePackage)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm install: %w: %s", err, out)
	}
	if err := os.Rename(fresh, dir); err != nil && !os.IsExist(err) {
		return "", err
	}
	return modules, nil
})

// in gives the same oracle for a subtest.
func (o oracle) in(t testing.TB) *oracle {
	o.t = t
	return &o
}

// ask sends a request and reads the answer into value.
func (o *oracle) ask(value any, command string, args map[string]any) {
	o.t.Helper()
	request := map[string]any{"command": command}
	for k, v := range args {
		request[k] = v
	}
	require.NoError(o.t, o.to.Encode(request))
	var answer struct {
		Value json.RawMessage
		Error string
	}
	for {
		line, err := o.out.ReadBytes('\n')
		require.NoError(o.t, err, "the oracle stopped")
		if json.Unmarshal(line, &answer) == nil { // training prints empty lines
			break
		}
	}
	require.Empty(o.t, answer.Error)
	if value != nil {
		require.NoError(o.t, json.Unmarshal(answer.Value, value))
	}
}

func (o *oracle) load(file []byte) int {
	o.t.Helper()
	var id int
	o.ask(&id, "load", map[string]any{"json": string(file)})
	return id
}

func (o *oracle) encode(tokenizer int, texts []string) [][]uint32 {
	o.t.Helper()
	var ids [][]uint32
	o.ask(&ids, "encode", map[string]any{"tokenizer": tokenizer, "texts": texts})
	require.Len(o.t, ids, len(texts))
	return ids
}

func (o *oracle) decode(tokenizer int, ids [][]uint32) []string {
	o.t.Helper()
	var texts []string
	o.ask(&texts, "decode", map[string]any{"tokenizer": tokenizer, "ids": ids})
	require.Len(o.t, texts, len(ids))
	return texts
}
