package chat

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"bitnet/bitnet/task"
	"bitnet/data"
	"bitnet/data/hub/hubtest"
)

// Conversations come from a data set on the hub: lists of groups in parquet, with
// the columns that such data sets have besides.
func TestConversationsFromTheHub(t *testing.T) {
	type turn struct {
		Content string `parquet:"content"`
		Role    string `parquet:"role,dict"`
	}
	type row struct {
		Prompt   string `parquet:"prompt"`
		ID       string `parquet:"prompt_id"`
		Messages []turn `parquet:"messages,list"`
	}
	var rows []row
	for i := range 30 {
		rows = append(rows, row{"x", fmt.Sprint(i), []turn{{fmt.Sprint("question ", i), "user"}, {fmt.Sprint("answer ", i), "assistant"}}})
	}
	var file bytes.Buffer
	require.NoError(t, parquet.Write(&file, rows, parquet.MaxRowsPerRowGroup(7)))
	hub := hubtest.New(t)
	hub.Add("datasets", "org/talks", map[string][]byte{
		"data/train-00000.parquet": file.Bytes(), "README.md": []byte("# talks"),
	})
	t.Setenv("HF_ENDPOINT", hub.URL)
	t.Setenv("HF_HOME", t.TempDir())
	for _, v := range []string{"HF_HUB_CACHE", "HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE"} {
		t.Setenv(v, "")
	}
	x, notes, err := opened(t, 64, func(o *task.Options) { o.Argument = "hub:org/talks" })
	require.NoError(t, err)
	require.EqualValues(t, 30, x.train.Samples())
	require.Contains(t, strings.Join(notes, "\n"), "hub:org/talks: 30 conversations")
	b := data.NewPackedBatch(30, 64)
	require.NoError(t, x.Train().Next(b))
	all := x.tok.Decode(b.Inputs)
	for i := range 30 {
		require.Contains(t, all, fmt.Sprintf("user\nquestion %d<|im_end|>\n<|im_start|>assistant\nanswer %d<|im_end|>", i, i))
	}
	_, _, err = opened(t, 64, func(o *task.Options) { o.Argument = "hub:org/nothing" })
	require.ErrorContains(t, err, "org/nothing")
}
