package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// rounds of measuring, one client and many in turns; spoken is the tokens of an answer.
const (
	rounds = 5
	spoken = 64
)

// measure compares the tokens a second of one client with those of n together.
func (l *load) measure(out *bytes.Buffer, n int) error {
	for _, clients := range []int{1, n, n} { // what is compiled and cached from here on
		if _, err := l.speed(clients); err != nil {
			return err
		}
	}
	var one, many, ratios []float64
	for range rounds {
		a, err := l.speed(1)
		if err != nil {
			return err
		}
		b, err := l.speed(n)
		if err != nil {
			return err
		}
		one, many, ratios = append(one, a), append(many, b), append(ratios, b/a)
		fmt.Fprintf(out, "1 client %.1f tokens/s, %d clients %.1f tokens/s together: %.2f times\n", a, n, b, b/a)
	}
	for _, list := range [][]float64{one, many, ratios} {
		slices.Sort(list)
	}
	fmt.Fprintf(out, "medians: %.1f and %.1f tokens/s, %.2f times\n", one[rounds/2], many[rounds/2], ratios[rounds/2])
	return nil
}

// speed is how many tokens a second n clients get together.
func (l *load) speed(n int) (float64, error) {
	var all sync.WaitGroup
	var mu sync.Mutex
	tokens := 0
	var errs []error
	began := time.Now()
	for i := range n {
		all.Go(func() {
			got, err := l.tokens(i)
			mu.Lock()
			defer mu.Unlock()
			tokens += got
			errs = append(errs, err)
		})
	}
	all.Wait()
	return float64(tokens) / time.Since(began).Seconds(), errors.Join(errs...)
}

// tokens asks for an answer and says how many tokens it has. No end of a text ends it
// early: random tokens seldom are one.
func (l *load) tokens(seed int) (int, error) {
	b, _ := json.Marshal(map[string]any{"prompt": prompt, "max_tokens": spoken, "temperature": 1, "seed": seed}) // strings and numbers always encode
	r, err := http.Post("http://"+l.addr+"/v1/completions", "application/json", bytes.NewReader(b))
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, err
	}
	var a struct {
		Usage struct {
			Tokens int `json:"completion_tokens"`
		}
	}
	if err := json.Unmarshal(text, &a); err != nil || r.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("asking: %d %s", r.StatusCode, text)
	}
	return a.Usage.Tokens, nil
}
