// Command walk does with bitnet what its users do, on whatever system it runs: it trains, kills,
// stops and resumes, evaluates, draws, generates, chats, serves, exports, and compares what comes
// out. Its folder has a blank and letters that are not ASCII in its name.
//
//	go run ./testdata/walk -bitnet build/bitnet
//
// It needs a graphics adapter, as training does, and about a minute. testdata/windows/test.sh runs it
// under Wine, testdata/arm64/test.sh under qemu.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// stage is one thing that a user does. It sees what the ones before it left.
type stage struct {
	name string
	do   func(*walk) error
}

var stages = []stage{
	{"version, devices, doctor", look},
	{"train", train},
	{"kill, resume with the same losses", killAndResume},
	{"Ctrl-C saves a checkpoint", interrupt},
	{"one process trains a run", twoAtOnce},
	{"files that are open are replaced and removed", openFiles},
	{"status, eval, plot", read},
	{"generate, chat", write},
	{"serve", serve},
	{"dash", dash},
	{"export", export},
	{"colours of the console", colours},
}

func main() {
	program := flag.String("bitnet", filepath.Join("build", "bitnet"), "the program, or an archive of a release")
	only := flag.String("only", "", "stages to do after training, by the beginnings of their names: Ctrl,serve")
	steps := flag.Int("steps", 200, "steps to train; runs that are killed need some seconds")
	dir := flag.String("dir", "", "where to make the folder to work in (default: that of temporary files)")
	flag.Parse()
	prepareConsole()
	failed, err := walkAll(*program, *dir, *only, *steps)
	if err != nil {
		fmt.Fprintln(os.Stderr, "walk:", err)
	}
	if err != nil || failed > 0 {
		os.Exit(1)
	}
}

func walkAll(program, dir, only string, steps int) (failed int, err error) {
	if steps < 120 || steps%20 != 0 {
		return 0, fmt.Errorf("-steps %d: a multiple of 20 from 120 on leaves time to kill a run", steps)
	}
	if program, err = filepath.Abs(program); err != nil {
		return 0, err
	}
	if _, err := os.Stat(program); err != nil {
		return 0, fmt.Errorf("%w: build it with make build", err)
	}
	if dir, err = os.MkdirTemp(dir, "walk-"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	dir = filepath.Join(dir, "a bit nét")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return 0, err
	}
	if strings.HasSuffix(program, ".zip") || strings.HasSuffix(program, ".tar.gz") {
		if program, err = unpack(program, filepath.Join(dir, "program")); err != nil {
			return 0, fmt.Errorf("unpacking %s: %w", program, err)
		}
	}
	w := &walk{program: program, dir: dir, steps: steps}
	passed := 0
	for _, s := range stages {
		if s.name != "train" && !slices.ContainsFunc(strings.Split(only, ","), func(o string) bool { return strings.HasPrefix(s.name, o) }) {
			continue
		}
		began := time.Now()
		if err := s.do(w); err == errNotWindows || err == errWine {
			fmt.Printf("left out: %s (%v)\n", s.name, err)
		} else if err != nil {
			failed++
			fmt.Printf("FAILED: %s: %v\n", s.name, err)
		} else {
			passed++
			fmt.Printf("ok: %s (%.1f s)\n", s.name, time.Since(began).Seconds())
		}
	}
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	return failed, nil
}
