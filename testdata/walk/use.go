package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

func read(w *walk) error {
	out, err := w.bitnet("", "status", whole)
	if err != nil {
		return err
	}
	if err := must(out, whole, fmt.Sprint(w.steps)); err != nil {
		return err
	}
	if out, err = w.bitnet("", "eval", filepath.Join("runs", whole), "--rows", "16"); err != nil {
		return err
	}
	if err := must(out, "validation loss"); err != nil {
		return err
	}
	if _, err := w.bitnet("", "plot", whole, "-o", "curves of it.png"); err != nil {
		return err
	}
	return begins(filepath.Join(w.dir, "curves of it.png"), "\x89PNG")
}

// begins checks the first bytes of a file.
func begins(path, want string) error {
	got, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(got), want) {
		return fmt.Errorf("%s does not begin with %q", path, want)
	}
	return nil
}

// write continues a text in four ways, which must agree.
func write(w *walk) error {
	first, err := w.bitnet("", "generate", whole, "--prompt", "25 + 17 = ", "--temp", "0")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(w.dir, "prompt.txt"), []byte("25 + 17 = "), 0o644); err != nil {
		return err
	}
	again, err := w.bitnet("", "generate", w.checkpoint(whole, w.steps), "--prompt-file", "prompt.txt", "--temp", "0")
	if err != nil {
		return err
	}
	if first != again || !strings.HasPrefix(first, "25 + 17 =") {
		return fmt.Errorf("the same prompt gave %q, then %q", first, again)
	}
	_, err = w.bitnet("25 + 17 = \n/quit\n", "chat", whole, "--temp", "0")
	return err
}

var address = regexp.MustCompile(`http://[0-9.:]+`)

// serving starts a server, lets use ask it, and stops it as Ctrl-C does.
func (w *walk) serving(use func(url string) error, args ...string) error {
	p, err := w.start(args...)
	if err != nil {
		return err
	}
	url := ""
	err = p.until("its address", func() bool {
		url = address.FindString(p.out.String())
		return url != ""
	})
	if err != nil {
		return err
	}
	err = use(url)
	stopped := stop(p.Process)
	if err != nil || stopped != nil {
		_ = p.Process.Kill()
		_, _ = p.end()
	}
	if err != nil || stopped == errWine {
		return err
	}
	if stopped != nil {
		return stopped
	}
	code, err := p.end()
	if err != nil {
		return err
	}
	if code != 0 && code != 130 {
		return fmt.Errorf("it ended with code %d: %s", code, tail(p.out.String()))
	}
	return nil
}

var client = http.Client{Timeout: time.Minute}

func get(url string) (string, error) {
	r, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", r.Status, tail(string(text)))
	}
	return string(text), err
}

func serve(w *walk) error {
	want, err := w.bitnet("", "generate", whole, "--prompt", "25 + 17 = ", "--temp", "0")
	if err != nil {
		return err
	}
	want = strings.TrimPrefix(want, "25 + 17 = ")
	return w.serving(func(url string) error {
		r, err := client.Post(url+"/v1/completions", "application/json", bytes.NewBufferString(`{"prompt": "25 + 17 = ", "temperature": 0}`))
		if err != nil {
			return err
		}
		defer r.Body.Close()
		var answer struct{ Choices []struct{ Text string } }
		if err := json.NewDecoder(r.Body).Decode(&answer); err != nil || len(answer.Choices) != 1 {
			return fmt.Errorf("no completion in the answer: %v", err)
		}
		if got := strings.TrimSpace(answer.Choices[0].Text); got != strings.TrimSpace(want) {
			return fmt.Errorf("the server wrote %q, bitnet generate %q", got, want)
		}
		return nil
	}, "serve", whole, "--addr", "127.0.0.1:0")
}

func dash(w *walk) error {
	return w.serving(func(url string) error {
		page, err := get(url + "/")
		if err != nil {
			return err
		}
		if err := must(page, "<html", "app.js"); err != nil {
			return err
		}
		_, err = get(url + "/app.js")
		return err
	}, "dash", "--addr", "127.0.0.1:0")
}

func export(w *walk) error {
	model := filepath.Join("models of mine", "model.gguf")
	if _, err := w.bitnet("", "export", whole, "--format", "gguf", "-o", model); err != nil {
		return err
	}
	if err := begins(filepath.Join(w.dir, model), "GGUF"); err != nil {
		return err
	}
	if _, err := w.bitnet("", "export", whole, "--format", "hf", "-o", filepath.Join("models of mine", "hf")); err != nil {
		return err
	}
	want, err := w.bitnet("", "generate", whole, "--prompt", "3 + 4 = ", "--temp", "0")
	if err != nil {
		return err
	}
	got, err := w.bitnet("", "generate", filepath.Join("models of mine", "hf"), "--prompt", "3 + 4 = ", "--temp", "0")
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("the exported model wrote %q, the run %q", got, want)
	}
	return nil
}
