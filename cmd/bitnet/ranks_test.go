//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/cluster/mpitest"
	"bitnet/bitnet/modelfile/safetensors"
	"bitnet/bitnet/runs"
	"bitnet/gpu"
)

// launchers are all MPIs; the test is skipped where there is none, or no adapter.
func launchers(t *testing.T) []mpitest.Launcher {
	if testing.Short() {
		t.Skip("takes seconds to a minute for each MPI")
	}
	if _, err := gpu.Adapters(); err != nil {
		t.Skip(err)
	}
	return mpitest.Launchers(t)
}

// withRanks calls f with every MPI, in a folder for runs.
func withRanks(t *testing.T, f func(t *testing.T, l mpitest.Launcher, dir string)) {
	for _, l := range launchers(t) {
		t.Run(l.Name, func(t *testing.T) {
			f(t, l, t.TempDir())
		})
	}
}

// trainOn runs bitnet train with n ranks: 1 is a process alone.
func trainOn(t *testing.T, l mpitest.Launcher, n int, args ...string) {
	t.Helper()
	out, err := rankCommand(l, n, args...).CombinedOutput()
	require.NoError(t, err, string(out))
}

func rankCommand(l mpitest.Launcher, n int, args ...string) *exec.Cmd {
	args = append([]string{"train"}, args...)
	cmd := exec.Command(os.Args[0], args...)
	if n > 1 {
		cmd = l.Command(n, os.Args[0], args...)
	}
	cmd.Env = append(os.Environ(), "BITNET_TEST_PROGRAM=1")
	return cmd
}

// lossesOf are the losses that a run logged, by step.
func lossesOf(t *testing.T, run string) map[int64]float64 {
	text, err := os.ReadFile(filepath.Join(run, "logs", "metrics.jsonl"))
	require.NoError(t, err)
	out := map[int64]float64{}
	for _, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		var m runs.Metrics
		require.NoError(t, json.Unmarshal(line, &m))
		out[m.Step] = m.Get(runs.Loss)
	}
	return out
}

// requireClose compares losses that differ by rounding.
func requireClose(t *testing.T, want, got map[int64]float64) {
	t.Helper()
	require.Len(t, got, len(want))
	for step, w := range want {
		require.LessOrEqual(t, math.Abs(got[step]-w), 1e-5*w, "the loss of step %d is %g, that of one process %g", step, got[step], w)
	}
}

func weightsOf(t *testing.T, run string, step int) []byte {
	b, err := os.ReadFile(filepath.Join(run, "checkpoints", fmt.Sprintf("step_%08d", step), "model.safetensors"))
	require.NoError(t, err)
	return b
}

// aText is a file of text: sentences of made-up words, of which few are frequent. It is the
// same at all times, because the rounding of one weight decides how far losses differ.
func aText(t *testing.T) string {
	rng := rand.New(rand.NewPCG(1, 0))
	syllables := strings.Fields("ba co de fi gu ha jo ka le mi no pu ra se ti vo wa xe yi zu")
	var words []string
	for range 400 {
		word := ""
		for range 1 + rng.IntN(4) {
			word += syllables[rng.IntN(len(syllables))]
		}
		words = append(words, word)
	}
	var text strings.Builder
	for range 5000 {
		for range 4 + rng.IntN(8) {
			at := rng.Float64()
			text.WriteString(words[int(float64(len(words))*at*at*at)] + " ")
		}
		text.WriteString("end.\n")
	}
	path := filepath.Join(t.TempDir(), "text.txt")
	require.NoError(t, os.WriteFile(path, []byte(text.String()), 0o644))
	return path
}

// Four ranks have the losses of one process with the same sequences in a step,
// and the same bits with every MPI, or each time where there is but one. Ternary
// weights amplify rounding: one weight that is rounded the other way moves the loss
// by more than a thousandth within a few steps, also between two shapes of
// micro-batches of one process. So the learning rate is low: a wrong gradient would
// still show.
func TestRanksAgreeWithOneProcess(t *testing.T) {
	all := launchers(t)
	if len(all) == 1 {
		all = append(all, all[0])
	}
	text, dir := aText(t), t.TempDir()
	for name, args := range map[string][]string{
		"simple": {"--exp", "simple", "--batch-size", "4", "--lr", "1e-5"},
		"text": {"--exp", "text", "--data", text, "--set", "data.dir=" + t.TempDir(), "--batch-size", "1", "--seq-len", "32", "--lr", "1e-6", "--set", "num_hidden_layers=2", "--set", "hidden_size=128",
			"--set", "intermediate_size=512", "--set", "num_attention_heads=2", "--set", "num_key_value_heads=2", "--set", "vocab_size=512"},
	} {
		args = append(args, "--quiet", "--runs-dir", dir, "--grad-accum", "4", "--num-steps", "50", "--log-interval", "1", "--set", "eval_samples=8", "--set", "prompts=[]")
		run := func(l mpitest.Launcher, n int, id string) string {
			trainOn(t, l, n, append(args, "--run-id", id)...)
			return filepath.Join(dir, id)
		}
		one := run(all[0], 1, name)
		first := ""
		for i, l := range all {
			four := run(l, 4, fmt.Sprint(name, i))
			requireClose(t, lossesOf(t, one), lossesOf(t, four))
			if i == 0 {
				first = four
				continue
			}
			require.Equal(t, lossesOf(t, first), lossesOf(t, four))
			require.True(t, bytes.Equal(weightsOf(t, first, 50), weightsOf(t, four, 50)), "%s: four ranks with %s end with other weights than with %s", name, l.Name, all[0].Name)
		}
	}
}

// Ranks add gradients in the order in which one process adds its micro-batches: at
// the preset's rate a step without clipping gives the same bits. The embedding table is the
// exception, because head and embedding add to its gradient (docs/cluster.md).
func TestRanksAddLikeOneProcess(t *testing.T) {
	withRanks(t, func(t *testing.T, l mpitest.Launcher, dir string) {
		step := func(n int) *safetensors.File {
			id := fmt.Sprint("ranks", n)
			trainOn(t, l, n, "--exp", "simple", "--quiet", "--runs-dir", dir, "--run-id", id, "--num-steps", "1", "--batch-size", "4", "--grad-accum", "4",
				"--set", "max_grad_norm=1e30", "--set", "eval_samples=1", "--set", "prompts=[]")
			f, err := safetensors.Open(filepath.Join(dir, id, "checkpoints", "step_00000001", "model.safetensors"))
			require.NoError(t, err)
			t.Cleanup(func() { _ = f.Close() })
			return f
		}
		one, four := step(1), step(4)
		for _, x := range one.Tensors() {
			want, err := one.Bytes(x.Name)
			require.NoError(t, err)
			got, err := four.Bytes(x.Name)
			require.NoError(t, err)
			require.True(t, x.Name == "model.embed_tokens.weight" || bytes.Equal(want, got), "%s differs", x.Name)
		}
	})
}

// bfloat16 halves what travels, and training still learns.
func TestRanksExchangeBFloat16(t *testing.T) {
	dir := t.TempDir()
	run := func(l mpitest.Launcher, exchange string) map[int64]float64 {
		id := exchange + "-" + l.RankVariable
		trainOn(t, l, 2, "--exp", "simple", "--quiet", "--runs-dir", dir, "--run-id", id, "--exchange", exchange, "--num-steps", "40", "--log-interval", "1", "--set", "eval_samples=8", "--set", "prompts=[]")
		return lossesOf(t, filepath.Join(dir, id))
	}
	all := launchers(t)
	full := run(all[0], "f32") // the same with every MPI: TestRanksAgreeWithOneProcess
	for _, l := range all {
		half := run(l, "bf16")
		require.InEpsilon(t, full[2], half[2], 1e-2, l.Name)
		require.NotEqual(t, full[2], half[2], "gradients are rounded")
		require.Less(t, half[40], 0.7*half[1], l.Name)
	}
}

// A run that continues with another number of ranks reads the data that it would
// have read.
func TestRanksResumeWithOthers(t *testing.T) {
	withRanks(t, func(t *testing.T, l mpitest.Launcher, dir string) {
		common := []string{"--quiet", "--runs-dir", dir, "--log-interval", "1", "--checkpoint-interval", "4", "--set", "keep_checkpoints=9", "--set", "eval_samples=8", "--set", "prompts=[]"}
		begin := append(common, "--exp", "simple", "--batch-size", "12")
		trainOn(t, l, 1, append(begin, "--run-id", "one", "--num-steps", "12")...)
		run, one := filepath.Join(dir, "run"), filepath.Join(dir, "one")

		trainOn(t, l, 4, append(begin, "--run-id", "run", "--num-steps", "4")...)
		for i, ranks := range []int{2, 3} {
			step := 4 * (i + 1)
			// The next step, by one process.
			fork := filepath.Join(dir, fmt.Sprintf("fork%d", i))
			require.NoError(t, os.CopyFS(fork, os.DirFS(run)))
			trainOn(t, l, 1, append(common, "--resume", fork, "--num-steps", fmt.Sprint(step+1))...)
			trainOn(t, l, ranks, append(common, "--resume", run, "--num-steps", fmt.Sprint(step+4))...)
			want, got := lossesOf(t, fork)[int64(step+1)], lossesOf(t, run)[int64(step+1)]
			require.InEpsilon(t, want, got, 1e-5, "the first step of %d ranks", ranks)
		}
		require.Len(t, lossesOf(t, run), 12)
		for _, step := range []int{4, 8, 12} {
			name := fmt.Sprintf("step_%08d", step)
			want, err := runs.ReadState(filepath.Join(one, "checkpoints", name))
			require.NoError(t, err)
			got, err := runs.ReadState(filepath.Join(run, "checkpoints", name))
			require.NoError(t, err)
			require.Equal(t, want.Position, got.Position, "where the data stands after step %d", step)
			require.Equal(t, want.TokensSeen, got.TokensSeen)
		}
	})
}

func TestRanksThatCannotShare(t *testing.T) {
	withRanks(t, func(t *testing.T, l mpitest.Launcher, dir string) {
		out, err := rankCommand(l, 3, "--exp", "simple", "--runs-dir", dir).CombinedOutput()
		require.Error(t, err)
		require.Equal(t, 1, strings.Count(string(out), "bitnet: 3 ranks cannot share the 16 sequences of a step"), string(out))
		require.Contains(t, string(out), "start 2 or 4 ranks")
		out, err = rankCommand(l, 3, "--exp", "simple", "--lr", "nonsense").CombinedOutput()
		require.Error(t, err)
		require.NotContains(t, string(out), "panic")
		require.NoDirExists(t, filepath.Join(dir, "runs"))
	})
}

// sharedRun is a long run with four ranks.
type sharedRun struct {
	cmd   *exec.Cmd
	out   bytes.Buffer
	done  chan error
	ended time.Time // once done has said so
	dir   string
	pids  map[int]int // by rank
}

// startRanks starts it and waits for its first checkpoint.
func startRanks(t *testing.T, l mpitest.Launcher, dir string) *sharedRun {
	if runtime.GOOS != "linux" {
		t.Skip("finds ranks through /proc")
	}
	r := &sharedRun{dir: filepath.Join(dir, "run"), done: make(chan error, 1), pids: map[int]int{}}
	r.cmd = rankCommand(l, 4, "--exp", "simple", "--runs-dir", dir, "--run-id", "run", "--num-steps", "100000", "--log-interval", "5", "--checkpoint-interval", "10")
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.out
	r.cmd.Env = append(r.cmd.Env, r.mark())
	require.NoError(t, r.cmd.Start())
	go func() {
		err := r.cmd.Wait()
		r.ended = time.Now()
		r.done <- err
	}()
	t.Cleanup(func() {
		for _, pid := range r.pids {
			if r.environment(pid) != "" {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	})
	require.Eventually(t, func() bool {
		list, err := filepath.Glob(filepath.Join(r.dir, "checkpoints", "step_*"))
		return err == nil && len(list) > 0
	}, 2*time.Minute, 20*time.Millisecond)
	processes, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(t, err)
	for _, p := range processes {
		pid, err := strconv.Atoi(filepath.Base(p))
		require.NoError(t, err)
		for v := range strings.SplitSeq(r.environment(pid), "\x00") {
			if rank, ok := strings.CutPrefix(v, l.RankVariable+"="); ok {
				n, err := strconv.Atoi(rank)
				require.NoError(t, err)
				r.pids[n] = pid
			}
		}
	}
	require.Len(t, r.pids, 4)
	return r
}

// mark is a variable of the environment of the run's processes.
func (r *sharedRun) mark() string { return "BITNET_TEST_RUN=" + r.dir }

// environment is that of a process of the run, "" for any other process.
func (r *sharedRun) environment(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil || !bytes.Contains(text, []byte(r.mark()+"\x00")) {
		return ""
	}
	return string(text)
}

// ends waits for the end of all ranks, and gives what was printed.
func (r *sharedRun) ends(t *testing.T) string {
	select {
	case err := <-r.done:
		require.Error(t, err)
	case <-time.After(time.Minute):
		t.Fatal("the ranks have not ended within a minute")
	}
	for rank, pid := range r.pids {
		require.Eventually(t, func() bool { return r.environment(pid) == "" }, 10*time.Second, 50*time.Millisecond, "rank %d is still there", rank)
	}
	return r.out.String()
}

// Whatever happens to one rank ends all: SIGTERM saves a checkpoint; after a kill the
// run continues with fewer ranks; and of a rank that hangs a line tells within a minute.
// That minute is waited for while the others are tried.
func TestRanksEnd(t *testing.T) {
	all := launchers(t)
	var hanging []*sharedRun
	var since []time.Time
	for _, l := range all {
		r := startRanks(t, l, t.TempDir())
		require.NoError(t, syscall.Kill(r.pids[3], syscall.SIGSTOP))
		hanging, since = append(hanging, r), append(since, time.Now())
	}
	for i, l := range all {
		t.Run(l.Name+" asked to stop", func(t *testing.T) { askRank(t, startRanks(t, l, t.TempDir())) })
		t.Run(l.Name+" killed", func(t *testing.T) { killRank(t, l, startRanks(t, l, t.TempDir())) })
		t.Run(l.Name+" hangs", func(t *testing.T) { rankHangs(t, hanging[i], since[i]) })
	}
}

func askRank(t *testing.T, r *sharedRun) {
	require.NoError(t, syscall.Kill(r.pids[2], syscall.SIGTERM))
	out := r.ends(t)
	require.Contains(t, out, "another rank was asked to stop: stopping after this step")
	require.Contains(t, out, "stopped at step ")
	require.Equal(t, 1, strings.Count(out, "stopped at step "), "only rank 0 reports")
	run, err := runs.Open(r.dir)
	require.NoError(t, err)
	info := run.Info()
	require.Equal(t, runs.Stopped, info.State, info.Why)
	require.Equal(t, info.Step, info.CheckpointStep)
}

func killRank(t *testing.T, l mpitest.Launcher, r *sharedRun) {
	require.NoError(t, syscall.Kill(r.pids[2], syscall.SIGKILL))
	r.ends(t)
	run, err := runs.Open(r.dir)
	require.NoError(t, err)
	step := run.Info().CheckpointStep
	require.Positive(t, step)
	trainOn(t, l, 2, "--quiet", "--resume", r.dir, "--num-steps", fmt.Sprint(step+5))
	require.Equal(t, step+5, run.Info().CheckpointStep)
}

func rankHangs(t *testing.T, r *sharedRun, since time.Time) {
	out := r.ends(t)
	require.Less(t, r.ended.Sub(since), time.Minute)
	host, err := os.Hostname()
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(out, fmt.Sprintf("bitnet: rank 3 on %s has not answered for 3", host)), out)
	require.Contains(t, out, "resume with the ranks that are left: bitnet train --resume "+r.dir)
}
