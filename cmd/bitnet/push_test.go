package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/data/hub/hubtest"
)

// aHub is a local hub that the environment names, with an empty cache.
func aHub(t *testing.T) *hubtest.Server {
	s := hubtest.New(t)
	s.Writer, s.PartSize = "hf_write", 100_000
	for name, value := range map[string]string{"HF_ENDPOINT": s.URL, "HF_HOME": t.TempDir(), "HF_HUB_CACHE": "", "HF_TOKEN": "", "HF_TOKEN_PATH": "", "HF_HUB_OFFLINE": ""} {
		t.Setenv(name, value)
	}
	return s
}

// The shipped model is pushed, pulled into a folder, and plays.
func TestPushAndPullCommands(t *testing.T) {
	s := aHub(t)
	shipped := filepath.Join(project, "testdata", "tictactoe")
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("hf_write\n"), 0o600))

	out, err := bitnetOutput(t, "push", shipped, "me/game", "--dry-run", "--license", "mit")
	require.NoError(t, err)
	require.Regexp(t, `(?s)config.json\n.*README.md\n.* files, \d+(\.\d+)? [KM]iB\n$`, out)
	require.Empty(t, s.Requests(), "a dry run asks nobody")

	_, err = bitnetOutput(t, "push", shipped, "me/game")
	require.ErrorContains(t, err, "needs a token with write access")
	out, err = bitnetOutput(t, "push", shipped, "me/game", "--token-file", token, "--license", "mit", "--private")
	require.NoError(t, err)
	require.Regexp(t, `(?s)created the private repository me/game\npushed \d+ files \(.*\) to me/game, commit [0-9a-f]{12}\nhttp.*/me/game\n$`, out)
	files, private := s.Files("models", "me/game")
	require.True(t, private)
	require.Contains(t, string(files["README.md"]), "license: mit\n")

	t.Setenv("HF_TOKEN", "hf_write")
	out, err = bitnetOutput(t, "push", shipped, "me/game", "--license", "mit")
	require.NoError(t, err)
	require.Contains(t, out, "files already: nothing was sent")

	dir := filepath.Join(t.TempDir(), "game")
	out, err = bitnetOutput(t, "pull", "me/game", "-o", dir)
	require.NoError(t, err)
	require.Regexp(t, `^\d+ files of me/game, .*, commit [0-9a-f]{12}\n.*game\n$`, out)
	want, err := os.ReadFile(filepath.Join(shipped, "model.safetensors"))
	require.NoError(t, err)
	got, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
	require.NoError(t, err)
	require.True(t, string(want) == string(got))
	_, err = bitnetOutput(t, "pull", "me/game", "-o", dir)
	require.ErrorContains(t, err, "exists")
	out, err = bitnetOutput(t, "pull", "me/game", "--files", "*.json")
	require.NoError(t, err)
	require.Contains(t, out, "4 files of me/game")
	out, err = bitnetOutput(t, "export", "me/game", "--format", "hf-packed", "-o", filepath.Join(t.TempDir(), "packed"))
	require.NoError(t, err, "every command finds it by its name")
	require.Contains(t, out, "README.md")
}

// What a hostile hub lists or sends is refused in one line, and no folder appears.
func TestPullHostile(t *testing.T) {
	s := aHub(t)
	s.Add("models", "org/name", map[string][]byte{"config.json": []byte("{}")})
	dir := filepath.Join(t.TempDir(), "new")
	for want, answer := range map[string]string{
		`file name "../../evil" refused`: `[{"type":"file","path":"../../evil","size":2,"oid":"` + hubtest.Hash("x", []byte("{}")) + `"}]`,
		"cannot hold both":               `[{"type":"file","path":"A","size":2,"oid":"` + hubtest.Hash("x", []byte("{}")) + `"},{"type":"file","path":"a","size":2,"oid":"` + hubtest.Hash("x", []byte("{}")) + `"}]`,
		"does not match the hash":        `[{"type":"file","path":"config.json","size":2,"oid":"` + hubtest.Hash("x", []byte("[]")) + `"}]`,
		"listing of":                     `[{"type":"file","path":"config.json","size":-2,"oid":"x"}]`,
	} {
		s.SetFault(func(host string, w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/tree/") {
				return false
			}
			w.Write([]byte(answer))
			return true
		})
		t.Setenv("HF_HOME", t.TempDir())
		_, err := bitnetOutput(t, "pull", "org/name", "-o", dir)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "\n")
		require.NoDirExists(t, dir)
	}
}

func TestPushMistakes(t *testing.T) {
	s := aHub(t)
	shipped := filepath.Join(project, "testdata", "tictactoe")
	for _, x := range []struct {
		args []string
		want string
	}{
		{[]string{"push", shipped}, "want a run or a folder, and ORG/NAME"},
		{[]string{"push", shipped, "game"}, "write ORG/NAME"},
		{[]string{"push", shipped, "../x/y"}, "is not the name of a model"},
		{[]string{"push", shipped, "me/game", "--token", "a", "--token-file", "b"}, "not both"},
		{[]string{"push", shipped, "me/game", "--uploads", "0"}, "must be 1 or more"},
		{[]string{"push", shipped, "me/game", "--format", "onnx"}, "choose one of"},
		{[]string{"pull", "a/b/c"}, "is not the name of a model"},
		{[]string{"pull", "me/game", "--downloads", "0"}, "must be 1 or more"},
		{[]string{"export", shipped, "--format", "gguf", "-o", "x.gguf", "--license", "mit"}, "--license is for the model card"},
		{[]string{"export", shipped, "--format", "peft", "-o", "x", "--license", "mit"}, "--license is for the model card"},
	} {
		_, err := bitnetOutput(t, x.args...)
		require.ErrorContains(t, err, x.want, x.args)
		require.True(t, isUsage(err), x.args)
	}
	_, err := bitnetOutput(t, "push", "nowhere", "me/game", "--token", "hf_write")
	require.ErrorContains(t, err, "nowhere")
	_, err = bitnetOutput(t, "pull", "me/nothing")
	require.ErrorContains(t, err, "check the name")
	require.NotContains(t, s.Requests(), "hub POST /api/repos/create")
}
