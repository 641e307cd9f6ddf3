package card

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"bitnet/bitnet/modelfile/modelfiletest"
	"bitnet/bitnet/runs"
)

const configYAML = `name: chat
data:
    source: "chat:/home/me/secret folder/talks.jsonl*3,hub:org/data@v1,text:/tmp/stories"
train:
    steps: 20
    batch_size: 16
    seq_len: 32
    grad_accum: 2
    learning_rate: 0.004
    schedule: cosine
    seed: 42
output:
    prompts:
        - '25 + 17 = '
`

// aRun is a run with a checkpoint of step 10 that holds the model of dir.
func aRun(t *testing.T, model string) (checkpoint string) {
	t.Helper()
	r, err := runs.Create(t.TempDir(), "my_run", []byte(configYAML))
	require.NoError(t, err)
	require.NoError(t, r.WriteProvenance(runs.Provenance{Init: "/home/me/.cache/huggingface/hub/models--org--base/snapshots/0123", Device: "Card <b>|x", Command: []string{"bitnet", "--data", "/home/me/secret folder/talks.jsonl"}}))
	metrics, err := os.ReadFile("../../cmd/bitnet/testdata/run/simple/logs/metrics.jsonl")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(r.Log("metrics"), metrics, 0o644))
	require.NoError(t, os.WriteFile(r.Log("eval"), []byte(
		`{"step":5,"loss":3,"perplexity":20,"tokens":100}`+"\n"+
			`{"step":10,"loss":2.5,"perplexity":12,"tokens":100,"scores":[{"name":"bits per byte","value":1.25,"unit":"bits","count":300,"of":"bytes"},{"name":"exact match","value":0.5,"unit":"share","count":64,"of":"questions"},{"name":"exact match","part":"sums | x","value":0.25,"unit":"share","count":4,"of":"questions"}]}`+"\n"+
			`{"step":20,"loss":1,"perplexity":3,"tokens":100}`+"\n"), 0o644))
	dir := r.CheckpointDir(10)
	require.NoError(t, runs.WriteCheckpoint(dir, runs.State{Step: 10, TokensSeen: 10240}, func(tmp string) error { return os.CopyFS(tmp, os.DirFS(model)) }))
	return dir
}

func front(t *testing.T, readme string) map[string]any {
	t.Helper()
	parts := strings.SplitN(readme, "---\n", 3)
	require.Len(t, parts, 3)
	require.Empty(t, parts[0])
	var m map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(parts[1]), &m))
	return m
}

func TestCard(t *testing.T) {
	model := modelfiletest.Dir(t, false, nil)
	c, err := New(aRun(t, model), About{Repo: "me/mine", License: "mit", Format: "hf"})
	require.NoError(t, err)
	text := string(c.Readme)
	require.True(t, Written(c.Readme))
	require.Equal(t, map[string]any{
		"license": "mit", "library_name": "transformers", "pipeline_tag": "text-generation", "base_model": "org/base",
		"datasets": []any{"org/data"}, "tags": []any{"bitnet", "bitnet-b1.58", "ternary"},
	}, front(t, text))
	for _, want := range []string{
		"# mine\n", `chat: talks.jsonl\*3, hub:org/data@v1, text:stories`, "| steps | 10 of 20 |", "| batch | 32 rows of 32 tokens |", "| tokens | 10.2k |",
		`| device | Card \<b\>\|x |`, "at step 10:", "| validation loss | 2.5 nats over 100 tokens |", "| bits per byte | 1.25 over 300 bytes |",
		`| exact match | 50.0% of 64 questions (sums \| x 25.0%) |`, "![the run's curves](curves.svg)",
		`bitnet generate me/mine --prompt "25 + 17 = "`, "name = \"me/mine\"", "bitnet export me/mine --format gguf", "float masters",
	} {
		require.Contains(t, text, want)
	}
	require.NotContains(t, text, "secret", "folders of this machine are nobody's business")
	require.NotContains(t, text, "/tmp/")
	require.Contains(t, string(c.Curves), "<svg")

	again, err := New(aRun(t, model), About{Repo: "me/mine", License: "mit", Format: "hf"})
	require.NoError(t, err)
	require.Equal(t, c, again, "the same run has the same card, so that a second push sends nothing")
}

// A model without a run, and each form of files.
func TestCardForms(t *testing.T) {
	model := modelfiletest.Dir(t, false, nil)
	for format, want := range map[string]string{"hf": "float masters", "hf-packed": "packed, four to a byte", "gguf": "llama-cli -m m.gguf"} {
		c, err := New(model, About{Title: "A *title*", Format: format, GGUF: "m.gguf"})
		require.NoError(t, err)
		require.Nil(t, c.Curves)
		text := string(c.Readme)
		require.Contains(t, text, want)
		require.Contains(t, text, `# A \*title\*`)
		require.NotContains(t, text, "## Training")
		require.NotContains(t, text, "license")
		m := front(t, text)
		require.Equal(t, format == "gguf", m["library_name"] == nil)
	}
}

// The card of a float model calls nothing ternary, and sends nobody to a program that refuses it.
func TestCardOfAFloatModel(t *testing.T) {
	c, err := New(aRun(t, modelfiletest.Dir(t, false, nil)), About{Format: "hf", Float: true})
	require.NoError(t, err)
	text := string(c.Readme)
	require.Equal(t, []any{"bitnet", "lora"}, front(t, text)["tags"])
	for _, want := range []string{"A float language model, made of one with ternary weights", "on it. The ternary model was trained", "## Evaluation of the ternary model, without the adapter", "Nothing is quantised", "AutoModelForCausalLM"} {
		require.Contains(t, text, want)
	}
	for _, not := range []string{"are ternary", "bitnet serve", "bitnet export", "float masters"} {
		require.NotContains(t, text, not)
	}
}

func TestCardRefused(t *testing.T) {
	_, err := New(t.TempDir(), About{})
	require.ErrorContains(t, err, "has no config.json")
	for _, bad := range []string{"MIT License", "a\nb: c", "../x", "ü"} {
		_, err = New(modelfiletest.Dir(t, false, nil), About{License: bad})
		require.ErrorContains(t, err, "give the hub's identifier", bad)
	}
	require.False(t, Written([]byte("# my own\n")))
	_, err = New(filepath.Join(t.TempDir(), "nowhere"), About{})
	require.Error(t, err)
}

func TestStart(t *testing.T) {
	for init, want := range map[string][2]string{
		"":                                    {"", ""},
		"/x/models--org--a-b/snapshots/0123":  {"org/a-b", "org/a-b"},
		"runs/base/checkpoints/step_00000160": {"", "the run base (step_00000160)"},
		"/home/me/secret/model/":              {"", "the model model"},
		"/x/models--../snapshots/1":           {"", "the model 1"},
	} {
		m := model{from: runs.Provenance{Init: init}}
		require.Equal(t, want, [2]string{m.base(), m.start()}, init)
	}
}
