package export

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/train"
	"bitnet/data/tokenizer"
)

// trainTalker trains a base model on conversations.
func trainTalker(t *testing.T, base string) string {
	dir, err := modelfile.Resolve(context.Background(), "", base, nil)
	require.NoError(t, err)
	c, err := train.Preset("chat")
	require.NoError(t, err)
	c.Model, err = modelfile.ReadTrainable(dir)
	require.NoError(t, err)
	var lines []string
	for i := range 200 {
		lines = append(lines, fmt.Sprintf(`{"instruction": "Is %d odd or even?", "output": "%d is %s."}`, i, i, []string{"even", "odd"}[i%2]))
	}
	path := filepath.Join(t.TempDir(), "talks.jsonl")
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o644))
	for _, s := range []string{"data.source=chat:" + path, "steps=60", "batch_size=4", "seq_len=128", "learning_rate=4e-3", "warmup_steps=6",
		"log_interval=20", "eval_interval=0", "keep_best=false", "sample_interval=0", "checkpoint_interval=0", "eval_samples=8"} {
		require.NoError(t, c.Set(s), s)
	}
	job, err := train.Prepare(context.Background(), c, train.Start{RunsDir: t.TempDir(), RunID: "talker", Init: dir}, train.Events{})
	require.NoError(t, err)
	trainer, err := job.Begin(context.Background(), modeltest.Device(t))
	require.NoError(t, err)
	defer trainer.Close()
	require.NoError(t, trainer.Train(context.Background()))
	return trainer.Run.Dir
}

// interopChat holds a conversation in stock llama.cpp, by the template in the GGUF
// file: it has our ids, and the greedy answer is ours, to the token that ends it.
func interopChat(t *testing.T, base string) {
	llamaInstallation(t)
	dir, err := modelfile.Resolve(context.Background(), "", trainTalker(t, base), nil)
	require.NoError(t, err)
	tok, err := tokenizer.Load(dir)
	require.NoError(t, err)
	format, err := infer.FindChatFormat("", tok)
	require.NoError(t, err)
	chats := [][]infer.Message{
		{{Role: "user", Content: "Is 7 odd or even?"}},
		{{Role: "user", Content: "Is 120 odd or even?"}, {Role: "assistant", Content: "120 is even."}, {Role: "user", Content: " And\nplus one? "}},
		{{Role: "system", Content: "Answer in French, \"s'il vous plaît\"."}, {Role: "user", Content: "Hi"}},
	}
	out := filepath.Join(t.TempDir(), "talker.gguf")
	_, err = Export(context.Background(), dir, Options{Format: "gguf", Type: "f32", Out: out, Check: true})
	require.NoError(t, err)
	written, _, err := readGGUF(out)
	require.NoError(t, err)

	const count = 24
	first, err := format.Tokens(tok, chats[0])
	require.NoError(t, err)
	a := askLlama(t, out, []string{""}, first[:1], first[:1], count, chats...)
	require.Len(t, a.Chats, len(chats))
	end, _ := tok.EOS()
	ended := 0
	for i, talk := range chats {
		ids, err := format.Tokens(tok, talk)
		require.NoError(t, err)
		require.Equal(t, ids, a.Chats[i].IDs, "conversation %d", i)
		next := slices.Clone(ids)
		for range count {
			logits, err := written.Forward(next, ggufTypes["f32"].rounding)
			require.NoError(t, err)
			next = append(next, uint32(argmax(logits[len(logits)-1])))
			if next[len(next)-1] == end {
				ended++
				break
			}
		}
		answer := next[len(ids):]
		t.Logf("%q", tok.Decode(answer))
		require.Equal(t, answer, a.Chats[i].Answer, "conversation %d: %q", i, tok.Decode(a.Chats[i].Answer))
	}
	require.Positive(t, ended, "no answer ended with %s", infer.ChatMLEnd)
}
