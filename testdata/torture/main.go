// Command torture disturbs bitnet's long commands at random moments, starts them
// again until they finish, and compares everything they leave with what they give
// undisturbed:
//
//	go run ./testdata/torture -minutes 20 -bitnet build/bitnet
//
// It prints a table of what it did, and ends with 1 if anything was lost, doubled,
// torn or left behind. docs/reliability.md says what is promised. It needs Linux;
// the faults that need strace or a mount namespace are left out where those are
// missing, and a line says so.
package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	minutes := flag.Float64("minutes", 20, "how long to go on")
	bitnet := flag.String("bitnet", "build/bitnet", "the program to disturb")
	only := flag.String("only", "", "disturb only the commands whose names begin so")
	jobs := flag.Int("jobs", 2, "commands to disturb at a time")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "seed of the random choices")
	folder := flag.String("dir", "", "folder to work in (default: a temporary one)")
	flag.Parse()
	if err := torture(*minutes, *bitnet, *only, *jobs, *seed, *folder); err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(1)
	}
}

func torture(minutes float64, bitnet, only string, jobs int, seed uint64, folder string) error {
	bitnet, err := filepath.Abs(bitnet)
	if err == nil {
		_, err = os.Stat(bitnet)
	}
	if err != nil {
		return fmt.Errorf("%w: build it with make build", err)
	}
	if folder == "" {
		if folder, err = os.MkdirTemp("", "bitnet-torture-"); err != nil {
			return err
		}
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return err
	}
	p := &program{path: bitnet, folder: folder}
	kinds := available(p)
	begun := time.Now()
	fmt.Printf("seed %d, in %s\n", seed, folder)
	var attacks []*attack
	for _, a := range []*attack{trainAttack("train", 1), trainAttack("train, every 7", 7), prepareAttack(), tokenizerAttack(), exportAttack("hf"), exportAttack("hf-packed"), exportAttack("gguf"), serveAttack()} {
		if !strings.HasPrefix(a.name, only) {
			continue
		}
		a.program, a.kinds = p, kinds
		if a.unstopped {
			a.kinds = slices.DeleteFunc(slices.Clone(kinds), func(k kind) bool { return k == terminate })
		}
		if err := a.setUp(filepath.Join(folder, strings.NewReplacer(" ", "-", ",", "").Replace(a.name))); err != nil {
			return fmt.Errorf("%s, undisturbed: %w", a.name, err)
		}
		attacks = append(attacks, a)
	}
	if len(attacks) == 0 {
		return fmt.Errorf("no command has a name that begins %q", only)
	}
	fmt.Printf("references made in %s\n", time.Since(begun).Round(time.Second))

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	end := time.Now().Add(time.Duration(minutes * float64(time.Minute)))
	var mu sync.Mutex
	var workers sync.WaitGroup
	for j := range jobs {
		workers.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(j)))
			for round := 0; time.Now().Before(end) && len(stop) == 0; round++ {
				mu.Lock()
				a := next(attacks)
				a.rounds++
				name := fmt.Sprintf("round%d-%d", j, round)
				a.working++
				mu.Unlock()

				began := time.Now()
				count, failures := a.round(filepath.Join(a.folder, name), rng, end)
				mu.Lock()
				a.working--
				a.spent += time.Since(began)
				a.count.add(count)
				a.failures = append(a.failures, failures...)
				for _, f := range failures {
					fmt.Printf("FAILED %s: %s\n", a.name, f)
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	failed := printTable(attacks)
	if failed == 0 {
		return os.RemoveAll(folder)
	}
	return fmt.Errorf("%d failures; what they left is in %s", failed, folder)
}

// next is the attack that had the least time for its weight; work under way counts
// as half a minute.
func next(attacks []*attack) *attack {
	least := attacks[0]
	share := func(a *attack) float64 { return (a.spent.Seconds() + 30*float64(a.working)) / a.weight }
	for _, a := range attacks {
		if share(a) < share(least) {
			least = a
		}
	}
	return least
}

func printTable(attacks []*attack) (failed int) {
	var total counts
	rounds := 0
	fmt.Printf("\n%-18s %6s %6s", "command", "rounds", "starts")
	for k := range kindCount {
		fmt.Printf(" %11s", k)
	}
	for f := range failureCount {
		fmt.Printf(" %*s", len(f.String()), f)
	}
	fmt.Println()
	var all [failureCount]int
	row := func(name string, rounds int, c counts, bad [failureCount]int) {
		fmt.Printf("%-18s %6d %6d", name, rounds, c.starts)
		for k := range kindCount {
			fmt.Printf(" %11d", c.did[k])
		}
		for f := range failureCount {
			fmt.Printf(" %*d", len(f.String()), bad[f])
		}
		fmt.Println()
	}
	for _, a := range attacks {
		var bad [failureCount]int
		for _, f := range a.failures {
			bad[f.what]++
			all[f.what]++
			failed++
		}
		row(a.name, a.rounds, a.count, bad)
		total.add(a.count)
		rounds += a.rounds
	}
	row("all", rounds, total, all)
	return failed
}
