package chat

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/task"
	"bitnet/data"
	"bitnet/data/tokenizer"
)

// characters is the tokenizer of a base model: a token for each character.
func characters(t *testing.T) *tokenizer.Tokenizer {
	tok, err := tokenizer.Characters("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .:?!<|>_/\n")
	require.NoError(t, err)
	return tok
}

// open opens lines of JSON as chat data of rows of seq tokens.
func opened(t *testing.T, seq int, change func(*task.Options), lines ...string) (*chats, []string, error) {
	path := filepath.Join(t.TempDir(), "talks.jsonl")
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o644))
	var notes []string
	o := task.Options{Argument: path, Seq: seq, Vocab: 128, Own: characters(t), Note: func(s string) { notes = append(notes, s) }}
	if change != nil {
		change(&o)
	}
	got, err := open(t.Context(), o)
	if err != nil {
		return nil, notes, err
	}
	return got.(*chats), notes, nil
}

// shown writes tokens as text, with short names of special tokens; learned ones
// are in brackets.
func shown(tok *tokenizer.Tokenizer, ids []uint32, learned []bool) string {
	var b strings.Builder
	for i, id := range ids {
		text := tok.Decode([]uint32{id})
		switch text {
		case infer.ChatMLStart:
			text = "{"
		case infer.ChatMLEnd:
			text = "}"
		}
		if learned[i] {
			text = "[" + text + "]"
		}
		b.WriteString(text)
	}
	return strings.NewReplacer("][", "", "\n", "/").Replace(b.String())
}

func talk(turns ...string) string {
	var list []string
	for i := 0; i < len(turns); i += 2 {
		list = append(list, fmt.Sprintf(`{"role": %q, "content": %q}`, turns[i], turns[i+1]))
	}
	return `{"messages": [` + strings.Join(list, ", ") + `]}`
}

// What a row holds, and that loss touches exactly what the assistant says and the
// token that ends it. By hand.
func TestGoldenRows(t *testing.T) {
	for _, c := range []struct{ name, line, want string }{
		{"one answer", talk("user", "Hi", "assistant", "Yes."), "<s>{user/Hi}/{assistant/[Yes.}]/"},
		{"system", talk("system", "Be kind", "user", "Hi", "assistant", "Yes"), "<s>{system/Be kind}/{user/Hi}/{assistant/[Yes}]/"},
		{"two answers", talk("user", "a", "assistant", "b", "user", "c", "assistant", "d"),
			"<s>{user/a}/{assistant/[b}]/{user/c}/{assistant/[d}]/"},
		{"a question after the last answer", talk("user", "a", "assistant", "b", "user", "c"), "<s>{user/a}/{assistant/[b}]/"},
		{"white space", talk("user", " a ", "assistant", "\n b  c\n"), "<s>{user/a}/{assistant/[b  c}]/"},
		{"special tokens that people write", talk("user", "<s><|im_end|>", "assistant", "<|im_start|>"),
			"<s>{user/<s><|im_end|>}/{assistant/[<|im_start|>}]/"},
		{"a muted answer", `{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}, ` +
			`{"role": "user", "content": "c"}, {"role": "assistant", "content": "d", "weight": 1}]}`, "<s>{user/a}/{assistant/b}/{user/c}/{assistant/[d}]/"},
		{"parts", `{"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, {"role": "assistant", "content": "c"}]}`,
			"<s>{user/ab}/{assistant/[c}]/"},
		{"ShareGPT", `{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "system": "S"}`, "<s>{system/S}/{user/a}/{assistant/[b}]/"},
		{"Alpaca", `{"instruction": "a", "input": "b", "output": "c"}`, "<s>{user/a//b}/{assistant/[c}]/"},
		{"Alpaca without input", `{"instruction": "a", "input": "", "output": "c", "text": "x"}`, "<s>{user/a}/{assistant/[c}]/"},
		{"developer", talk("developer", "S", "user", "a", "assistant", "b"), "<s>{system/S}/{user/a}/{assistant/[b}]/"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, _, err := opened(t, 128, nil, c.line)
			require.NoError(t, err)
			b := data.NewPackedBatch(1, 128)
			require.NoError(t, x.Train().Next(b))
			// What is predicted from position i is token i + 1.
			n := 1 + slices.Index(b.Begins[1:], 0)
			for n < 128 && b.Begins[n] == 0 {
				n++
			}
			learned := make([]bool, n)
			for i := range n - 1 {
				if b.Targets[i] != data.Ignore {
					require.Equal(t, b.Inputs[i+1], b.Targets[i])
					learned[i+1] = true
				}
			}
			require.Equal(t, data.Ignore, b.Targets[n-1], "nothing predicts the next conversation")
			want := c.want
			got := shown(x.tok, b.Inputs[:n], learned)
			require.Equal(t, want, got)
			require.True(t, strings.HasPrefix(got, "<s>{"))
		})
	}
}

func TestWhatIsDropped(t *testing.T) {
	long := strings.Repeat("word ", 40)
	lines := []string{
		talk("user", "Hi", "assistant", "Yes"),
		talk("user", "a", "assistant", "b", "user", long, "assistant", "c"), // cut before the long question
		talk("user", long, "assistant", "c"),
		talk("assistant", "a", "user", "b", "assistant", "c"),
		talk("user", "a"),
		talk("user", "a", "assistant", " "),
		talk("user", "a", "tool", "b", "assistant", "c"),
		`{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": null}]}`,
		`{"messages": [{"role": "user", "content": [{"type": "image_url"}]}, {"role": "assistant", "content": "c"}]}`,
		`{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "", "tool_calls": [{}]}]}`,
		`{"prompt": "a"}`, `{"messages": "a"}`, `{"messages": []}`,
	}
	x, notes, err := opened(t, 64, nil, lines...)
	require.NoError(t, err)
	require.EqualValues(t, 2, x.train.Samples())
	note := strings.Join(notes, "\n")
	for _, want := range []string{
		"2 conversations, 0 held out; to train on: 2 with 4 turns", "1 cut at a turn", "dropped 11",
		"1: an answer ends past --seq-len (the first in line 3)", "1: it begins with an answer (the first in line 4)",
		"2: no answer to learn (the first in line 5)", "1: an answer is empty (the first in line 6)",
		"1: a role other than system, user and assistant (the first in line 7)", "2: content that is not text (the first in line 8)",
		"1: calls of tools (the first in line 10)", "1: no messages, conversations, or instruction and output (the first in line 11)",
		"1: fields of another form (the first in line 12)",
		"the model has no chat template",
	} {
		require.Contains(t, note, want)
	}
	_, _, err = opened(t, 64, nil, lines[2])
	require.ErrorContains(t, err, "nothing to learn from; dropped 1 (1: an answer ends past --seq-len")
	_, _, err = opened(t, 64, nil, "{}", "no json")
	require.ErrorContains(t, err, "talks.jsonl: line 2: not JSON")
	_, _, err = opened(t, 64, nil, talk("user", "é", "assistant", "b"))
	require.ErrorContains(t, err, "talks.jsonl, line 1: tokenizer: cannot encode")
}

// Two conversations share a row, each as if it were alone; a third begins the next.
func TestPackedRows(t *testing.T) {
	lines := []string{talk("user", "aa", "assistant", "b"), talk("user", "c", "assistant", "dddd"), talk("user", "e", "assistant", "f")}
	x, _, err := opened(t, 72, func(o *task.Options) { o.Seed = 5 }, lines...)
	require.NoError(t, err)
	b := data.NewPackedBatch(3, 72)
	require.NoError(t, x.Train().Next(b))
	documents := map[string]int{}
	for i, id := range b.Inputs {
		at := i % 72
		begin := int(b.Begins[i])
		require.LessOrEqual(t, begin, at)
		bos, _ := x.tok.BOS()
		require.Equal(t, begin == at && id == bos, id == bos, "a conversation begins with its first token")
		if id == bos {
			documents[shown(x.tok, b.Inputs[i:i+10], make([]bool, 10))]++
		}
	}
	require.Len(t, documents, 3, "all of them are in three rows: %v", documents)

	// Resuming gives the rows that would have come.
	position := x.Train().Position()
	require.NoError(t, x.Train().Next(b))
	again, _, err := opened(t, 72, func(o *task.Options) { o.Seed = 5 }, lines...)
	require.NoError(t, err)
	require.NoError(t, again.Train().Seek(position))
	other := data.NewPackedBatch(3, 72)
	require.NoError(t, again.Train().Next(other))
	require.Equal(t, b, other)

	// The count of rows is that of the rows that come.
	for _, epochs := range []float64{1, 2.5, 3} {
		fresh, _, err := opened(t, 72, func(o *task.Options) { o.Seed = 5 }, lines...)
		require.NoError(t, err)
		rows := int64(0)
		one := data.NewPackedBatch(1, 72)
		for p := fresh.Train().Position(); float64(p.Epoch*3+p.Offset) < epochs*3-0.5; p = fresh.Train().Position() {
			require.NoError(t, fresh.Train().Next(one))
			rows++
		}
		require.Equal(t, rows, fresh.Rows(epochs), epochs)
	}
}

func TestHeldOutQuestions(t *testing.T) {
	var lines []string
	for i := range 100 {
		lines = append(lines, talk("user", fmt.Sprint("q", i%50), "assistant", fmt.Sprint("a", i)))
	}
	x, _, err := opened(t, 128, func(o *task.Options) { o.HeldOut = 0.2 }, lines...)
	require.NoError(t, err)
	held := map[string]bool{}
	for _, s := range x.held {
		held[x.tok.Decode(s.question)] = true
	}
	require.Len(t, x.held, 2*len(held), "both answers of a question are on one side")
	require.InDelta(t, 10, len(held), 7)
	for i := range x.train.Samples() {
		ids, _ := x.mix.at(0, i)
		for q := range held {
			require.False(t, strings.HasPrefix(x.tok.Decode(ids), q), "a held-out question is trained on")
		}
	}
	src, err := x.Validation()
	require.NoError(t, err)
	b := data.NewPackedBatch(1, 128)
	n := 0
	bos, _ := x.tok.BOS()
	for {
		if err := src.Next(b); err == io.EOF {
			break
		}
		for _, id := range b.Inputs {
			if id == bos {
				n++
			}
		}
	}
	require.Equal(t, len(x.held), n, "each once")
	require.Len(t, x.Prompts(), 3)

	few, _, err := opened(t, 128, func(o *task.Options) { o.HeldOut = 0.001 }, lines[:5]...)
	require.NoError(t, err)
	require.Len(t, few.held, 1, "a small set has one")
	whole, _, err := opened(t, 128, func(o *task.Options) {
		o.Whole = true
		o.Own = few.tok
	}, lines...)
	require.NoError(t, err)
	require.Len(t, whole.held, 100)
	_, _, err = opened(t, 128, func(o *task.Options) { o.Whole = true }, lines...)
	require.ErrorContains(t, err, "no chat template")
}

func TestWeights(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
		return path
	}
	line := func(q string) string { return talk("user", q, "assistant", "x") }
	a := write("a.jsonl", line("a")+"\n"+line("aa"))
	b := write("b.json", "["+line("b1")+","+line("b2")+","+line("b3")+","+line("b4")+"]")
	c := write("c.txt", strings.Repeat("plain text ", 20))
	x, notes, err := opened(t, 100, func(o *task.Options) {
		o.Argument = a + "*3,chat:" + b + "*0.5,text:" + c
	})
	require.NoError(t, err)
	require.EqualValues(t, 3*2+2+3, x.train.Samples(), "%q", notes)
	seen := map[string]int{}
	for epoch := range int64(40) {
		for i := range x.train.Samples() {
			ids, _ := x.mix.at(epoch, i)
			text := x.tok.Decode(ids)
			seen[text[:min(len(text), 22)]]++
		}
	}
	total := 0
	for text, n := range seen {
		switch {
		case strings.Contains(text, "user\na"):
			require.Equal(t, 40*3, n)
		case strings.Contains(text, "user\nb"):
			require.InDelta(t, 20, n, 15, "other ones in each epoch: %v", seen)
			total += n
		}
	}
	require.Equal(t, 80, total)

	for argument, want := range map[string]string{
		a + "*0": "the weight after *", a + "*-1": "the weight after *", a + "*x": "the weight after *", a + "*1e9": "the weight after *",
		a + ",": "names nothing", "text:" + c: "needs conversations", c: "conversations are read from", "nowhere.jsonl": "neither a preset",
	} {
		_, _, err := opened(t, 100, func(o *task.Options) { o.Argument = argument })
		require.ErrorContains(t, err, want, argument)
	}
}

// A model that has a chat template keeps it, and one that bitnet does not know is refused.
func TestTemplates(t *testing.T) {
	base := characters(t)
	with := func(template string) *tokenizer.Tokenizer {
		tok, err := base.WithChat(template, []string{"<|eot_id|>"}, "<|eot_id|>")
		require.NoError(t, err)
		return tok
	}
	own := with("{{ '<|eot_id|>' }}{{ role | capitalize }}")
	x, _, err := opened(t, 100, func(o *task.Options) { o.Own = own }, talk("user", "a", "assistant", "b"))
	require.NoError(t, err)
	require.Same(t, own, x.Tokenizer())
	require.Equal(t, "role", x.format.Name)
	_, _, err = opened(t, 100, func(o *task.Options) { o.Own = with("[INST]") }, talk("user", "a", "assistant", "b"))
	require.ErrorContains(t, err, "does not know")
	_, _, err = opened(t, 100, func(o *task.Options) { o.Own = nil }, talk("user", "a", "assistant", "b"))
	require.ErrorContains(t, err, "--init MODEL")
}

// withTemplate is the tokenizer of a model that was trained on conversations.
func withTemplate(t *testing.T) *tokenizer.Tokenizer {
	x, _, err := opened(t, 100, nil, talk("user", "a", "assistant", "b"))
	require.NoError(t, err)
	return x.tok
}
