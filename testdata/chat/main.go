// Command chat writes a small set of conversations, one a line, for trying chat
// training: questions of five kinds with short answers that can be checked. The
// same seed gives the same lines.
//
//	go run ./testdata/chat -n 4000 > talks.jsonl
//
// docs/chat.md trains a model on them.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
)

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type talk struct {
	Kind     string    `json:"kind"`
	Messages []message `json:"messages"`
}

// question is one of its kind with its answer.
type question func(r *rand.Rand) (ask, answer string)

var kinds = []struct {
	name string
	ask  question
}{
	{"greeting", greeting}, {"parity", parity}, {"larger", larger}, {"next number", next}, {"sentence", sentence},
}

var names = strings.Fields(`Ada Alan Alice Amir Anna Ben Carla Chen Clara David Dora Elena Emil Eva Felix Finn Grace
	Hana Hugo Ida Ivan Jack Jane Jonas Julia Kaito Karl Lara Leo Lena Lina Luca Maria Marta Max Mia Milo Nadia Nina Noah
	Nora Oscar Otto Paul Petra Pia Rosa Sam Sara Sofia Tara Theo Tim Tom Uma Vera Victor Wanda Yara Zoe`)

func one(r *rand.Rand, list ...string) string { return list[r.IntN(len(list))] }

func greeting(r *rand.Rand) (string, string) {
	name := one(r, names...)
	switch r.IntN(3) {
	case 0:
		return fmt.Sprintf("Say hello to %s.", name), fmt.Sprintf("Hello, %s!", name)
	case 1:
		return fmt.Sprintf("My name is %s. What is my name?", name), fmt.Sprintf("Your name is %s.", name)
	}
	return fmt.Sprintf("Please say goodbye to %s.", name), fmt.Sprintf("Goodbye, %s!", name)
}

func parity(r *rand.Rand) (string, string) {
	n := r.IntN(1000)
	return fmt.Sprintf(one(r, "Is %d odd or even?", "Tell me whether %d is odd or even."), n),
		fmt.Sprintf("%d is %s.", n, []string{"even", "odd"}[n%2])
}

func larger(r *rand.Rand) (string, string) {
	a := 10 + r.IntN(90)
	b := 10 + r.IntN(90)
	if a == b {
		b = a - 1
	}
	return fmt.Sprintf(one(r, "Which is larger, %d or %d?", "Which of %d and %d is the larger number?"), a, b), fmt.Sprintf("%d is larger.", max(a, b))
}

func next(r *rand.Rand) (string, string) {
	n := r.IntN(999)
	return fmt.Sprintf(one(r, "Which number comes after %d?", "Count one further than %d."), n), fmt.Sprintf("After %d comes %d.", n, n+1)
}

func sentence(r *rand.Rand) (string, string) {
	who, verb, what := one(r, names...), one(r, "sees", "likes", "paints", "buys", "draws", "wants"), one(r, "dog", "house", "red car", "tree", "boat", "green hat", "cat", "book")
	switch r.IntN(2) {
	case 0:
		return fmt.Sprintf("%s %s a %s. Who %s it?", who, verb, what, verb), fmt.Sprintf("%s %s it.", who, verb)
	}
	return fmt.Sprintf("%s %s a %s. What is it?", who, verb, what), fmt.Sprintf("It is a %s.", what)
}

func main() {
	n := flag.Int("n", 4000, "conversations")
	seed := flag.Uint64("seed", 1, "random seed")
	flag.Parse()
	r := rand.New(rand.NewPCG(*seed, 0x63686174))
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	for range *n {
		var t talk
		if r.IntN(4) == 0 {
			t.Messages = append(t.Messages, message{"system", "Answer in one short sentence."})
		}
		for range 1 + r.IntN(2) {
			kind := kinds[r.IntN(len(kinds))]
			ask, answer := kind.ask(r)
			t.Kind = kind.name // of the last question, which an examination asks
			t.Messages = append(t.Messages, message{"user", ask}, message{"assistant", answer})
		}
		if err := e.Encode(t); err != nil {
			fmt.Fprintln(os.Stderr, "writing conversations:", err)
			os.Exit(1)
		}
	}
}
