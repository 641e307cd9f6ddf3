package suite

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"bitnet/data/hub/hubtest"
	"bitnet/data/meter"
)

// The columns of the real data sets, and their types there: any may be null.
type hellaSwagRow struct {
	Ind      int32    `parquet:"ind" json:"ind"`
	Activity *string  `parquet:"activity_label,optional,dict" json:"activity_label"`
	A        *string  `parquet:"ctx_a,optional" json:"ctx_a"`
	B        *string  `parquet:"ctx_b,optional" json:"ctx_b"`
	Ctx      *string  `parquet:"ctx,optional" json:"ctx"`
	Endings  []string `parquet:"endings,list" json:"endings"`
	Source   *string  `parquet:"source_id,optional" json:"source_id"`
	Label    *string  `parquet:"label,optional,dict" json:"label"`
}

type piqaRow struct {
	Goal  *string `parquet:"goal,optional" json:"goal"`
	Sol1  *string `parquet:"sol1,optional" json:"sol1"`
	Sol2  *string `parquet:"sol2,optional" json:"sol2"`
	Label *int64  `parquet:"label,optional,dict" json:"label"`
}

type arcRow struct {
	ID       *string `parquet:"id,optional" json:"id"`
	Question *string `parquet:"question,optional" json:"question"`
	Choices  struct {
		Text  []string `parquet:"text,list" json:"text"`
		Label []string `parquet:"label,list" json:"label"`
	} `parquet:"choices" json:"choices"`
	Key *string `parquet:"answerKey,optional" json:"answerKey"`
}

type lambadaRow struct {
	Text *string `parquet:"text,optional" json:"text"`
}

// asParquet makes parquet of JSON lines.
func asParquet[T any](t *testing.T, lines []byte) []byte {
	t.Helper()
	var rows []T
	for d := json.NewDecoder(bytes.NewReader(lines)); d.More(); {
		var row T
		require.NoError(t, d.Decode(&row))
		rows = append(rows, row)
	}
	var out bytes.Buffer
	w := parquet.NewGenericWriter[T](&out, parquet.Compression(&parquet.Snappy))
	_, err := w.Write(rows)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

func lines(t *testing.T, task string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(golden, task+".jsonl"))
	require.NoError(t, err)
	return b
}

// layouts are the files of the data sets on the hub.
func layouts(t *testing.T) map[string]map[string][]byte {
	other := []byte("not to be read")
	return map[string]map[string][]byte{
		"Rowan/hellaswag": {
			"README.md": other, "data/train-00000-of-00001.parquet": other, "data/test-00000-of-00001.parquet": other,
			"data/validation-00000-of-00001.parquet": asParquet[hellaSwagRow](t, lines(t, "hellaswag")),
		},
		"baber/piqa": {
			"piqa.py": other, "train.parquet": other, "test.jsonl": other, "validation.jsonl": other,
			"validation.parquet": asParquet[piqaRow](t, lines(t, "piqa")),
		},
		"allenai/ai2_arc": {
			"ARC-Easy/train-00000-of-00001.parquet": other, "ARC-Challenge/validation-00000-of-00001.parquet": other,
			"ARC-Easy/test-00000-of-00001.parquet":      asParquet[arcRow](t, lines(t, "arc_easy")),
			"ARC-Challenge/test-00000-of-00001.parquet": asParquet[arcRow](t, lines(t, "arc_challenge")),
		},
		"EleutherAI/lambada_openai": {
			"lambada_openai.py": other, "data/lambada_test_de.jsonl": other, "data/lambada_test_en.jsonl": other,
			"data/lambada_test.jsonl": lines(t, "lambada_openai"),
		},
	}
}

// want are the questions of the golden test sets.
func want(t *testing.T, task Task) []question {
	t.Helper()
	list, _, err := source{dir: golden}.questions(t.Context(), task, 0)
	require.NoError(t, err)
	return list
}

func TestDataOfTheHub(t *testing.T) {
	server := hubtest.New(t)
	for name, files := range layouts(t) {
		server.Add("datasets", name, files)
	}
	t.Setenv("HF_ENDPOINT", server.URL)
	t.Setenv("HF_HOME", t.TempDir())
	t.Setenv("HF_HUB_CACHE", "")
	t.Setenv("HF_HUB_OFFLINE", "")
	var notes []string
	fetched := int64(0)
	from := source{note: func(s string) { notes = append(notes, s) }, fetching: func(_ string, r meter.Reading) { fetched = r.Done }}
	for _, task := range Tasks() {
		list, total, err := from.questions(t.Context(), task, 0)
		require.NoError(t, err, task.Name)
		require.Equal(t, want(t, task), list, task.Name)
		require.Len(t, list, total)
	}
	require.Len(t, notes, len(Tasks()))
	require.Contains(t, notes[0], "downloading ")
	require.Contains(t, notes[0], "Rowan/hellaswag")
	require.Positive(t, fetched)

	// The cache is enough from now on, and what else is there was never asked for.
	t.Setenv("HF_HUB_OFFLINE", "1")
	list, _, err := from.questions(t.Context(), Tasks()[0], 0)
	require.NoError(t, err)
	require.Len(t, list, 6)
	require.Len(t, notes, len(Tasks()))
	for _, r := range server.Requests() {
		require.NotContains(t, r, "train")
		require.NotContains(t, r, "lambada_test_de")
	}
}

func TestDataOfALocalFolder(t *testing.T) {
	for _, copied := range []bool{false, true} {
		dir := t.TempDir()
		put := func(name string, b []byte) {
			path := filepath.Join(dir, filepath.FromSlash(name))
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
			require.NoError(t, os.WriteFile(path, b, 0o666))
		}
		for repo, files := range layouts(t) {
			for name, b := range files {
				if copied { // of a data set, as the hub's own program makes it
					put(filepath.Base(repo)+"/"+name, b)
				}
			}
		}
		if !copied {
			put("hellaswag.parquet", asParquet[hellaSwagRow](t, lines(t, "hellaswag")))
			put("piqa.json", []byte("["+strings.ReplaceAll(strings.TrimSpace(string(lines(t, "piqa"))), "\n", ",")+"]"))
			put("arc_easy/ARC-Easy/test/0000.parquet", asParquet[arcRow](t, lines(t, "arc_easy")))
			put("arc_challenge.jsonl", lines(t, "arc_challenge"))
			put("lambada_openai/lambada_test.jsonl", lines(t, "lambada_openai"))
		}
		for _, task := range Tasks() {
			list, _, err := source{dir: dir}.questions(t.Context(), task, 0)
			require.NoError(t, err, task.Name)
			require.Equal(t, want(t, task), list, task.Name)
			list, total, err := source{dir: dir}.questions(t.Context(), task, 2)
			require.NoError(t, err, task.Name)
			require.Equal(t, want(t, task)[:2], list, task.Name)
			require.Greater(t, total, 2)
		}
	}
}

// What cannot be measured is refused in words that say what to do.
func TestDataThatDoesNotFit(t *testing.T) {
	for _, c := range []struct{ task, file, content, err string }{
		{"piqa", "", "", "has neither a file piqa.parquet or piqa.jsonl nor a copy of the data set in a folder piqa or piqa"},
		{"piqa", "piqa/train.jsonl", "{}", "none of the 1 files below"},
		{"piqa", "piqa.jsonl", "", "has no rows"},
		{"piqa", "piqa.jsonl", "{\"goal\": \"a\", \"sol1\": \"b\", \"sol2\": \"c\"}", "line 1: it has no label"},
		{"piqa", "piqa.jsonl", "{\"goal\": \"a\", \"sol1\": \"b\", \"sol2\": \"c\", \"label\": -1}", "line 1: it has no label"},
		{"piqa", "piqa.jsonl", "{\"goal\": \"a\", \"sol1\": \"b\", \"sol2\": \"c\", \"label\": 2}", "its label is 2: want 0 to 1"},
		{"piqa", "piqa.jsonl", "{\"goal\": \"a\", \"sol1\": \"b\", \"sol2\": \"c\", \"label\": \"x\"}", `its label is "x": want the number of a choice`},
		{"piqa", "piqa.jsonl", "{\"goal\": \"a\"}", "it has no sol1, no sol2"},
		{"piqa", "piqa.jsonl", "{\"goal\": 7}", "its goal is a number"},
		{"piqa", "piqa.jsonl", "[1]", "not a JSON object"},
		{"piqa", "piqa.parquet", "no parquet", "piqa.parquet"},
		{"hellaswag", "hellaswag.jsonl", `{"activity_label": "a", "ctx_a": "b", "ctx_b": "", "endings": ["c", "d"], "label": ""}`, "it has no label: a split without answers"},
		{"hellaswag", "hellaswag.jsonl", `{"activity_label": "a", "ctx_a": "b", "ctx_b": "", "endings": ["c"], "label": "0"}`, "it has 1 choices: want 2 or more"},
		{"arc_easy", "arc_easy.jsonl", `{"question": "a", "choices": {"text": ["b", "c"], "label": ["A"]}, "answerKey": "A"}`, "2 texts and 1 labels"},
		{"arc_easy", "arc_easy.jsonl", `{"question": "a", "choices": {"text": ["b", "c"], "label": ["A", "B"]}, "answerKey": "C"}`, `its answerKey "C" is none of the labels ["A" "B"]`},
		{"arc_easy", "arc_easy.jsonl", `{"question": {"stem": "a"}}`, "its question is a object"},
		{"lambada_openai", "lambada_openai.jsonl", "{}", "it has no text"},
	} {
		dir := t.TempDir()
		if c.file != "" {
			path := filepath.Join(dir, filepath.FromSlash(c.file))
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
			require.NoError(t, os.WriteFile(path, []byte(c.content), 0o666))
		}
		tasks, err := Find(c.task)
		require.NoError(t, err)
		_, _, err = source{dir: dir}.questions(t.Context(), tasks[0], 0)
		require.ErrorContains(t, err, c.err)
		require.ErrorContains(t, err, c.task)
		require.NotContains(t, err.Error(), "\n")
	}
	_, _, err := source{dir: filepath.Join(t.TempDir(), "none")}.questions(t.Context(), Tasks()[0], 0)
	require.ErrorContains(t, err, "is not a folder")
}

// The split's files are found in every layout that a data set may have.
func TestPick(t *testing.T) {
	task := func(name string) Task {
		list, err := Find(name)
		require.NoError(t, err)
		return list[0]
	}
	for _, c := range []struct {
		task  string
		paths []string
		want  []string
	}{
		{"hellaswag", []string{"data/validation-00001-of-00002.parquet", "data/validation-00000-of-00002.parquet", "data/test-0.parquet"},
			[]string{"data/validation-00000-of-00002.parquet", "data/validation-00001-of-00002.parquet"}},
		{"hellaswag", []string{"default/validation/0000.parquet", "default/train/0000.parquet"}, []string{"default/validation/0000.parquet"}},
		{"hellaswag", []string{"hellaswag_val.jsonl", "hellaswag_train.jsonl"}, []string{"hellaswag_val.jsonl"}},
		{"piqa", []string{"plain_text/piqa-validation.parquet", "plain_text/piqa-test.parquet"}, []string{"plain_text/piqa-validation.parquet"}},
		{"piqa", []string{"validation.csv", "invalidation.parquet"}, nil},
		{"arc_easy", []string{"ARC-Challenge/test-0.parquet", "ARC-Easy/validation-0.parquet"}, nil},
		{"lambada_openai", []string{"default/test/0.parquet", "de/test/0.parquet"}, []string{"default/test/0.parquet"}},
		{"lambada_openai", []string{"data/lambada_test_fr.jsonl"}, nil},
	} {
		require.Equal(t, c.want, pick(task(c.task), c.paths), "%v", c.paths)
	}
}
