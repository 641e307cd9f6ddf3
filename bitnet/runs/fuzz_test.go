package runs

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever state.json holds, it is refused in one line or is what this program
// writes, key by key.
func FuzzState(f *testing.F) {
	s := State{Format: stateFormat, Step: 7, Recent: Recent{Loss: []float32{2}, Norm: []float32{1}}, Files: map[string]FileSum{"a": {1, "ab"}}}
	plain, err := json.Marshal(s)
	if err != nil {
		f.Fatal(err)
	}
	if s.Sum, err = s.sum(); err != nil {
		f.Fatal(err)
	}
	whole, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Add(whole)
	f.Add([]byte(`{"format":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parseState(text)
		if err != nil {
			if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "json:") {
				t.Fatalf("%q gives %q", text, err)
			}
			return
		}
		again, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, text); err != nil || !bytes.Equal(bytes.TrimSpace(compact.Bytes()), again) {
			t.Fatalf("%q is read as %q", text, again)
		}
		for name := range s.Files {
			if filepath.Base(name) != name {
				t.Fatalf("%q lists a path", text)
			}
		}
	})
}

// lastUpTo keeps whole lines alone, none of a later step at the end, and leaves no
// line of a kept step behind.
func FuzzLastUpTo(f *testing.F) {
	f.Add([]byte("{\"step\":1}\n{\"step\":2}\n{\"ste"), int64(1))
	f.Add([]byte("\n\n{\"step\":3}\nx\n"), int64(3))
	f.Add([]byte("{\"step\":1}\n{\"step\":5}\n{\"step\":2}\n"), int64(4))
	f.Fuzz(func(t *testing.T, text []byte, step int64) {
		step = max(step, 0) % (1 << 40)
		keep, end, err := lastUpTo(bytes.NewReader(text), int64(len(text)), step)
		if err != nil {
			t.Fatal(err)
		}
		if want := int64(bytes.LastIndexByte(text, '\n') + 1); end != want {
			t.Fatalf("the whole lines of %q end at %d, not %d", text, want, end)
		}
		if keep < 0 || keep > end || keep > 0 && text[keep-1] != '\n' {
			t.Fatalf("%q is cut at %d of %d, in a line", text, keep, end)
		}
		var v values
		upTo := func(line []byte) bool { return scan(line, &v) && v.num[stepKey] <= float64(step) }
		if keep > 0 && !upTo(text[lastLine(text[:keep]):keep-1]) {
			t.Fatalf("%q is kept up to %d, which is no line up to step %d", text, keep, step)
		}
		for _, line := range bytes.Split(text[keep:end], []byte("\n")) {
			if upTo(line) {
				t.Fatalf("the line %q of %q is lost at step %d", line, text, step)
			}
		}
	})
}

// OpenLogs keeps the beginning of a log whatever is in it; the whole lines that it
// cuts are set aside, and only half a line at the end is dropped.
func FuzzOpenLogs(f *testing.F) {
	f.Add([]byte("{\"step\":1}\n{\"step\":2}\n{\"ste"), int64(1))
	f.Add([]byte("x\n"), int64(3))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte, step int64) {
		step = max(step, 0) % (1 << 40)
		r := &Run{Dir: dir}
		logs := filepath.Join(dir, "logs")
		if err := os.RemoveAll(logs); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(logs, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(r.Log(metricsLog), text, 0o644); err != nil {
			t.Fatal(err)
		}
		l, err := r.OpenLogs(step)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if err := l.Metrics(Metrics{Step: step + 1}); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		now, err := os.ReadFile(r.Log(metricsLog))
		if err != nil {
			t.Fatal(err)
		}
		kept := now[:lastLine(now)]
		var cut []byte
		if aside, err := filepath.Glob(filepath.Join(logs, aside+"*", metricsLog+".jsonl")); err != nil || len(aside) > 1 {
			t.Fatal(aside, err)
		} else if len(aside) == 1 {
			if cut, err = os.ReadFile(aside[0]); err != nil {
				t.Fatal(err)
			}
		}
		if want := text[:bytes.LastIndexByte(text, '\n')+1]; string(kept)+string(cut) != string(want) {
			t.Fatalf("%q becomes %q, and %q is set aside", text, kept, cut)
		}
	})
}
