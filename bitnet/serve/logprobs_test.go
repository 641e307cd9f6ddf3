package serve

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/infer"
	"bitnet/data/tokenizer"
)

// What lm-eval's local-completions client sends, and what it reads from the answer:
// prompts as token ids, echoed with their log-probabilities, and the likeliest tokens
// in their place.
func TestEchoWithLogProbs(t *testing.T) {
	web, s := start(t, DefaultLimits())
	bos, ok := s.model.Tokenizer.BOS()
	require.True(t, ok)
	ids := func(text string) []uint32 {
		list, err := s.model.Tokenizer.Encode(text)
		require.NoError(t, err)
		return append([]uint32{bos}, list...)
	}
	body, err := json.Marshal(map[string]any{"model": "game", "prompt": [][]uint32{ids("51"), ids("5137")}, "temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": true})
	require.NoError(t, err)
	status, v := post(t, web.URL+"/v1/completions", string(body))
	require.Equal(t, 200, status, v)
	for i, text := range []string{"51", "5137"} {
		p := at(v, "choices", i, "logprobs")
		n := len(text) + 2 // the token that begins the text, and the new one
		for _, list := range []string{"tokens", "token_logprobs", "top_logprobs", "text_offset"} {
			require.Len(t, at(p, list), n, list)
		}
		require.Nil(t, at(p, "token_logprobs", 0), "the first token stands after nothing")
		require.Nil(t, at(p, "top_logprobs", 0))
		for j := 1; j < n; j++ {
			require.Less(t, at(p, "token_logprobs", j), 1e-9)
			require.Len(t, at(p, "top_logprobs", j), 1)
		}
		require.Equal(t, text[:1], at(p, "tokens", 1))
	}
	// The log-probability of a prompt's token is that which a completion gives it.
	_, whole := post(t, web.URL+"/v1/completions", `{"prompt": "5", "temperature": 0, "max_tokens": 4, "logprobs": 2}`)
	text := at(whole, "choices", 0, "text").(string)
	for _, tokens := range []int{0, 1} {
		_, echoed := post(t, web.URL+"/v1/completions", fmt.Sprintf(`{"prompt": "5%s", "temperature": 0, "max_tokens": %d, "logprobs": 2, "echo": true}`, text, tokens))
		p := at(echoed, "choices", 0, "logprobs")
		require.Len(t, at(p, "tokens"), 5+tokens, "without the token that the server put before the text")
		require.Less(t, at(p, "token_logprobs", 0), 0.0, "the first token follows the one that begins a text")
		for j := range 4 {
			require.Equal(t, at(whole, "choices", 0, "logprobs", "token_logprobs", j), at(p, "token_logprobs", j+1))
			require.Equal(t, at(whole, "choices", 0, "logprobs", "top_logprobs", j), at(p, "top_logprobs", j+1))
		}
		require.Equal(t, "5"+text, at(echoed, "choices", 0, "text").(string)[:5])
		require.EqualValues(t, tokens, at(echoed, "usage", "completion_tokens"))
		require.EqualValues(t, 2, at(p, "text_offset", 2))
	}
	sum := 0.0
	_, v = post(t, web.URL+"/v1/completions", `{"prompt": "5", "max_tokens": 1, "logprobs": 5}`)
	for _, p := range at(v, "choices", 0, "logprobs", "top_logprobs", 0).(map[string]any) {
		sum += math.Exp(p.(float64))
	}
	require.InDelta(t, 1, sum, 0.05)
}

// A stream gives each log-probability once, with the piece that it belongs to.
func TestLogProbsAreStreamed(t *testing.T) {
	web, _ := start(t, DefaultLimits())
	_, whole := post(t, web.URL+"/v1/completions", `{"prompt": "5", "temperature": 0, "logprobs": 2}`)
	want := at(whole, "choices", 0, "logprobs", "token_logprobs").([]any)
	for _, chat := range []bool{false, true} {
		path, body := "/v1/completions", `{"prompt": "5", "temperature": 0, "stream": true, "logprobs": 2}`
		if chat {
			path, body = "/v1/chat/completions", `{"messages": [{"role": "user", "content": "5"}], "temperature": 0, "stream": true, "logprobs": true, "top_logprobs": 2}`
		}
		r, err := http.Post(web.URL+path, "application/json", strings.NewReader(body))
		require.NoError(t, err)
		var got, offsets []any
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok || data == "[DONE]" {
				continue
			}
			var v map[string]any
			require.NoError(t, json.Unmarshal([]byte(data), &v))
			p := at(v, "choices", 0, "logprobs")
			switch {
			case p == nil:
			case chat:
				for _, c := range at(p, "content").([]any) {
					got = append(got, at(c, "logprob"))
					require.Len(t, at(c, "top_logprobs"), 2)
				}
			default:
				got = append(got, at(p, "token_logprobs").([]any)...)
				offsets = append(offsets, at(p, "text_offset").([]any)...)
			}
		}
		require.NoError(t, r.Body.Close())
		require.Equal(t, want, got)
		if !chat {
			require.Equal(t, []any{0., 1., 2., 3., 4., 5., 6., 7.}, offsets)
		}
	}
}

// A part of a character is shown by its bytes.
func TestTokensThatAreNoText(t *testing.T) {
	tok, err := tokenizer.Load("../../testdata/tictactoe")
	require.NoError(t, err)
	id, ok := tok.ID("5")
	require.True(t, ok)
	require.Equal(t, "5", tokenText(tok, id))
	half, err := tokenizer.Train(t.Context(), slices.Values([]string{"a text"}), tokenizer.TrainOptions{VocabSize: 256})
	require.NoError(t, err)
	for id := range uint32(half.Size()) {
		if half.Decode([]uint32{id}) == "\xc3" {
			require.Equal(t, `bytes:\xc3`, tokenText(half, id))
			v := chatLogProbs(half, []infer.LogProb{{Token: id}}).(map[string]any)
			require.Equal(t, []int{0xc3}, v["content"].([]any)[0].(map[string]any)["bytes"])
			return
		}
	}
	t.Fatal("there is no token for the byte c3")
}

// The same request with a seed has the same answer alone and in a crowd.
func TestSeedsInACrowd(t *testing.T) {
	web, _ := start(t, DefaultLimits())
	request := func(i int) string {
		return fmt.Sprintf(`{"prompt": "%d", "temperature": 1.5, "seed": %d, "logprobs": 1}`, 1+i%9, i)
	}
	ask := func(body string) any {
		r, err := http.Post(web.URL+"/v1/completions", "application/json", strings.NewReader(body))
		if err != nil {
			return err
		}
		defer r.Body.Close()
		var v map[string]any
		if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
			return err
		}
		return v["choices"]
	}
	var alone []any
	for i := range 12 {
		alone = append(alone, ask(request(i)))
	}
	together := make([]any, len(alone))
	var crowd sync.WaitGroup
	for i := range together {
		crowd.Go(func() { together[i] = ask(request(i)) })
	}
	crowd.Wait()
	require.Equal(t, alone, together)
	_, v := post(t, web.URL+"/v1/completions", `{"prompt": ["5", "1"], "n": 2, "temperature": 1.5, "seed": 7}`)
	require.Len(t, at(v, "choices"), 4)
	require.EqualValues(t, 4, at(v, "usage", "prompt_tokens"), "each prompt counts once")
	for i := range 4 {
		require.EqualValues(t, i, at(v, "choices", i, "index"))
	}
	_, one := post(t, web.URL+"/v1/completions", `{"prompt": "5", "temperature": 1.5, "seed": 8}`)
	require.Equal(t, at(one, "choices", 0, "text"), at(v, "choices", 1, "text"), "the second answer has the next seed")
}
