package train

import (
	"strings"
	"testing"
)

// oneMistake fails if an error is more than a line or speaks of Go.
func oneMistake(t *testing.T, input string, err error) {
	switch {
	case err == nil:
		return
	case strings.Contains(err.Error(), "\n"):
		// What was typed may hold line breaks and is quoted as it is.
		if !strings.Contains(input, "\n") {
			t.Fatalf("%q gives more than a line: %q", input, err)
		}
	case strings.Contains(err.Error(), "strconv."), strings.Contains(err.Error(), "reflect"):
		t.Fatalf("%q gives an error of Go: %v", input, err)
	}
}

// Whatever a config.yaml holds, it is read, or refused in one line; what is read is
// written and read again as the same.
func FuzzConfigText(f *testing.F) {
	f.Add("name: x\nmodel: {hidden_size: 64}\n")
	f.Add("train:\n  steps: 5\n  learning_rate: 1e-3\n  seed: 18446744073709551615\n")
	f.Add("output:\n  prompts: [a, \"b\\n\"]\n  checkpoint_minutes: .inf\n")
	f.Add("train: &a {steps: 1}\noutput: *a\n")
	f.Add("a: &a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<10 {
			return
		}
		c, err := ParseConfig("config.yaml", []byte(text))
		oneMistake(t, "", err)
		if err != nil {
			return
		}
		if err := c.Check(); err != nil {
			oneMistake(t, text, err)
			return
		}
		again, err := ParseConfig("config.yaml", c.YAML())
		if err != nil {
			t.Fatalf("%q is written as %q, which cannot be read: %v", text, c.YAML(), err)
		}
		if string(again.YAML()) != string(c.YAML()) {
			t.Fatalf("%q is not read as it is written: %q and %q", text, c.YAML(), again.YAML())
		}
	})
}

// Whatever follows --set changes a value, or is refused; what is refused changes
// nothing.
func FuzzSet(f *testing.F) {
	f.Add("train.learning_rate=1e-3")
	f.Add("steps=30")
	f.Add("prompts=[a, b]")
	f.Add("hidden_size={a: 1}")
	f.Add("precision=\"mixed\"")
	f.Add("seed=&a 1")
	c, err := Preset("simple")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, assignment string) {
		if len(assignment) > 256 {
			return
		}
		now := *c
		err := now.Set(assignment)
		oneMistake(t, assignment, err)
		if err != nil {
			if string(now.YAML()) != string(c.YAML()) {
				t.Fatalf("%q is refused (%v) and changes the configuration", assignment, err)
			}
			return
		}
		oneMistake(t, assignment, now.Check())
	})
}
