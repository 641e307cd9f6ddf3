package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"bitnet/data/shard"
)

// writeText makes documents of a small made-up language, the same for each seed.
func writeText(path string, seed uint64, bytes int) error {
	rng := rand.New(rand.NewPCG(seed, 1))
	words := make([]string, 2000)
	for i := range words {
		w := make([]byte, 2+rng.IntN(8))
		for j := range w {
			w[j] = "etaoinshrdlucmfwypvbgkqjxz"[min(rng.IntN(26), rng.IntN(26))]
		}
		words[i] = string(w)
	}
	var text strings.Builder
	for text.Len() < bytes {
		for range 5 + rng.IntN(200) {
			text.WriteString(words[min(rng.IntN(len(words)), rng.IntN(len(words)))])
			text.WriteByte(" \n.,"[rng.IntN(4)&rng.IntN(4)])
		}
		text.WriteString("<|end|>\n")
	}
	return os.WriteFile(path, []byte(text.String()), 0o644)
}

// prepareAttack disturbs `bitnet data prepare`, which makes about a hundred shards.
func prepareAttack() *attack {
	args := func(dir string) []string {
		above := filepath.Dir(dir)
		return []string{"data", "prepare", filepath.Join(above, "text.txt"), "--split", "<|end|>", "--tokenizer", filepath.Join(above, "tokenizer"),
			"--out", filepath.Join(dir, "shards"), "--shard-tokens", "1024", "--held-out", "0.1"}
	}
	return &attack{
		name: "data prepare", weight: 2, most: 10,
		moving: func(dir string) int64 { return entries(filepath.Join(dir, "shards")) },
		inputs: func(a *attack, _ string) error {
			// The tokenizer is made once, and the text keeps its time of change, which
			// belongs to the plan of the shards.
			text := filepath.Join(a.folder, "text.txt")
			tokenizer := filepath.Join(a.folder, "tokenizer")
			if exists(tokenizer) {
				return nil
			}
			if err := writeText(text, 7, 300_000); err != nil {
				return err
			}
			r, err := a.program.run("tokenizer", "train", text, "--vocab-size", "600", "--out", tokenizer)
			if err == nil && r.code != 0 {
				err = fmt.Errorf("training a tokenizer: %s", r.said)
			}
			return err
		},
		args:  func(dir string) ([]string, error) { return args(dir), nil },
		sweep: args,
		whole: func(_ *attack, dir string) *failure {
			dir = filepath.Join(dir, "shards")
			m, err := shard.ReadManifest(dir)
			if os.IsNotExist(err) || !exists(filepath.Join(dir, "manifest.json")) {
				return nil
			}
			if err != nil {
				return failed(tornFile, "%v", err)
			}
			for _, e := range m.Shards {
				for _, f := range []shard.File{e.Train, e.Val} {
					if f.Name == "" {
						continue
					}
					s, err := shard.Open(filepath.Join(dir, f.Name))
					if err != nil {
						return failed(tornFile, "%v", err)
					}
					s.Close()
				}
			}
			return nil
		},
		equal: func(a *attack, dir string, _ bool) *failure {
			return sameFolder(filepath.Join(dir, "shards"), filepath.Join(a.reference, "shards"))
		},
	}
}

// tokenizerAttack disturbs `bitnet tokenizer train`.
func tokenizerAttack() *attack {
	args := func(dir string, more ...string) []string {
		return append([]string{"tokenizer", "train", filepath.Join(filepath.Dir(dir), "text.txt"), "--vocab-size", "900", "--out", filepath.Join(dir, "out")}, more...)
	}
	return &attack{
		name: "tokenizer train", weight: 1, most: 12,
		moving: func(dir string) int64 { return entries(filepath.Join(dir, "out")) },
		inputs: func(a *attack, _ string) error {
			text := filepath.Join(a.folder, "text.txt")
			if exists(text) {
				return nil
			}
			return writeText(text, 8, 400_000)
		},
		args: func(dir string) ([]string, error) { return args(dir), nil },
		// tokenizer.json comes last: a folder that has it is complete.
		whole: func(a *attack, dir string) *failure {
			out := filepath.Join(dir, "out")
			if !exists(filepath.Join(out, "tokenizer.json")) {
				return nil
			}
			if f := sameFolder(out, filepath.Join(a.reference, "out")); f != nil {
				return failed(tornFile, "%s", f.text)
			}
			return nil
		},
		equal: func(a *attack, dir string, _ bool) *failure {
			return sameFolder(filepath.Join(dir, "out"), filepath.Join(a.reference, "out"))
		},
		sweep: func(dir string) []string { return args(dir, "--force") },
	}
}

// modelIn is where model puts its run.
func modelIn(folder string) string { return filepath.Join(folder, "model", "run") }

// model trains a model to export and to serve, once.
func (p *program) model() error {
	if exists(modelIn(p.folder)) {
		return nil
	}
	r, err := p.run("train", "--exp", "simple", "--runs-dir", filepath.Dir(modelIn(p.folder)), "--run-id", "run", "--quiet", "--tuning", "off", "--num-steps", "3",
		"--set", "batch_size=1", "--set", "eval_samples=1", "--set", "prompts=[]")
	if err == nil && r.code != 0 {
		err = fmt.Errorf("training a model: %s", r.said)
	}
	return err
}

// exportAttack disturbs `bitnet export` of a model of a few hundred kilobytes.
func exportAttack(format string) *attack {
	out := func(dir string) string {
		if format == "gguf" {
			return filepath.Join(dir, "out", "model.gguf")
		}
		return filepath.Join(dir, "out", "model")
	}
	args := func(dir, out string) []string {
		return []string{"export", modelIn(filepath.Dir(filepath.Dir(dir))), "--format", format, "-o", out, "--check"}
	}
	a := &attack{
		name: "export " + format, weight: 0.7, most: 15,
		moving: func(dir string) int64 { return entries(filepath.Join(dir, "out")) },
		inputs: func(a *attack, dir string) error {
			if err := a.program.model(); err != nil {
				return err
			}
			return os.MkdirAll(filepath.Join(dir, "out"), 0o755)
		},
		args: func(dir string) ([]string, error) { return args(dir, out(dir)), nil },
		whole: func(a *attack, dir string) *failure {
			if !exists(out(dir)) {
				return nil
			}
			var f *failure
			if format == "gguf" { // the Modelfile comes after it
				f = sameFiles(filepath.Dir(out(dir)), filepath.Dir(out(a.reference)), "model.gguf")
			} else {
				f = sameFolder(out(dir), out(a.reference))
			}
			if f != nil {
				return failed(tornFile, "%s", f.text)
			}
			return nil
		},
		equal: func(a *attack, dir string, _ bool) *failure {
			return sameFolder(filepath.Dir(out(dir)), filepath.Dir(out(a.reference)))
		},
		// An export to another name in the same folder.
		sweep: func(dir string) []string {
			if format == "gguf" {
				return args(dir, out(dir))
			}
			return args(dir, out(dir)+"-2")
		},
	}
	return a
}
