package infer

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/stretchr/testify/require"

	"bitnet/data/tokenizer"
)

var update = flag.Bool("update", false, "write the tokenizers of testdata/chat/golden again; testdata/chat/golden.sh then makes the ids")

const chatGoldens = "../../testdata/chat/golden"

// goldenForms are chat templates with the special tokens that they need. The first
// is what chat training gives to a base model; the others have the form of Llama 3
// and of microsoft/bitnet-b1.58-2B-4T.
var goldenForms = []struct {
	name, template string
	specials       []string
}{
	{ChatML, ChatMLTemplate(true), []string{ChatMLStart, ChatMLEnd}},
	{"llama3", "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}{% endfor %}" +
		"{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
		[]string{"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"}},
	{"role", "{{ bos_token }}{% for message in messages %}{{ message['role'] | capitalize + ': ' + message['content'] | trim + '<|eot_id|>' }}{% endfor %}" +
		"{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}", []string{"<|eot_id|>"}},
}

// writeGoldenTokenizers trains a small tokenizer and gives it each of the templates.
func writeGoldenTokenizers(t *testing.T) {
	text, err := os.ReadFile("../../LICENSE")
	require.NoError(t, err)
	base, err := tokenizer.Train(t.Context(), slices.Values([]string{string(text), "user assistant system Hello What's Which is larger, Answer in one short sentence."}),
		tokenizer.TrainOptions{VocabSize: 400, Specials: []string{"<pad>", "<s>", "</s>"}})
	require.NoError(t, err)
	for _, f := range goldenForms {
		tok, err := base.WithChat(f.template, f.specials, f.specials[len(f.specials)-1])
		require.NoError(t, err)
		require.NoError(t, tok.Save(filepath.Join(chatGoldens, f.name)))
	}
}

func readGolden(t *testing.T, v any, path ...string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{chatGoldens}, path...)...))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, v))
}

// Conversations have the ids that transformers' apply_chat_template gives them,
// and those of llama.cpp's server with its own reading of the template.
func TestChatGoldens(t *testing.T) {
	if *update {
		writeGoldenTokenizers(t)
		return
	}
	var talks [][]Message
	readGolden(t, &talks, "conversations.json")
	for _, form := range goldenForms {
		tok, err := tokenizer.Load(filepath.Join(chatGoldens, form.name))
		require.NoError(t, err)
		require.Equal(t, form.template, tok.ChatTemplate())
		f, err := FindChatFormat("", tok)
		require.NoError(t, err)
		require.Equal(t, form.name, f.Name)
		for _, program := range []string{"transformers", "llama"} {
			var want [][]uint32
			readGolden(t, &want, form.name, program+".json")
			require.Len(t, want, len(talks))
			for i, talk := range talks {
				got, err := f.Tokens(tok, talk)
				require.NoError(t, err)
				require.Equal(t, want[i], got, "%s, %s, conversation %d: %q, %q", form.name, program, i, tok.Decode(want[i]), tok.Decode(got))
			}
		}
	}
}

// The template for Ollama, which is one of Go, writes what the others write.
func TestChatMLForOllama(t *testing.T) {
	var talks [][]Message
	readGolden(t, &talks, "conversations.json")
	tok, err := tokenizer.Load(filepath.Join(chatGoldens, ChatML))
	require.NoError(t, err)
	f, err := FindChatFormat("", tok)
	require.NoError(t, err)
	ollama, err := template.New("").Parse(ChatMLForOllama("<s>"))
	require.NoError(t, err)
	for _, talk := range talks {
		ids, err := f.Tokens(tok, talk)
		require.NoError(t, err)
		var text strings.Builder
		require.NoError(t, ollama.Execute(&text, map[string]any{"Messages": talk}))
		require.Equal(t, tok.Decode(ids), text.String())
	}
}

// What a model learns from is the conversation that programs show it later.
func TestLessonIsTheConversation(t *testing.T) {
	var talks [][]Message
	readGolden(t, &talks, "conversations.json")
	for _, form := range goldenForms {
		tok, err := tokenizer.Load(filepath.Join(chatGoldens, form.name))
		require.NoError(t, err)
		f, err := FindChatFormat("", tok)
		require.NoError(t, err)
		for i, talk := range talks {
			if i == 3 {
				continue // an answer that begins with white space: tasks take it away
			}
			whole := append(slices.Clone(talk), Message{Role: "assistant", Content: "It is so."})
			l, err := f.Lesson(tok, whole, func(int) bool { return true })
			require.NoError(t, err)
			prompt, err := f.Tokens(tok, talk)
			require.NoError(t, err)
			require.Equal(t, prompt, l.IDs[:len(prompt)], "%s, conversation %d", form.name, i)
			end := l.Ends[len(l.Ends)-1]
			require.Equal(t, "It is so."+f.Stop[0], tok.Decode(l.IDs[len(prompt):end]))
			for at := len(prompt); at < len(l.IDs); at++ {
				require.Equal(t, at < end, l.Learned[at])
			}
			// Each answer before is learned as it was given.
			learned := 0
			for _, on := range l.Learned {
				if on {
					learned++
				}
			}
			expected := 0
			for _, m := range whole {
				if m.Role == "assistant" {
					ids, err := tok.EncodeOrdinary(f.content(m))
					require.NoError(t, err)
					expected += len(ids) + 1
				}
			}
			require.Equal(t, expected, learned)
		}
	}
}
