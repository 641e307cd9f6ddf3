package main

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// disturbance is one start of a command that is disturbed.
type disturbance struct {
	attack  *attack
	dir     string
	args    []string
	rng     *rand.Rand
	results []result // of the processes that were started
	struck  bool     // it came before the command had ended
	story   string
}

// available lists the kinds of disturbance that this machine allows, and prints
// those it does not.
func available(p *program) []kind {
	all := []kind{kill, kill, kill, kill, terminate, twice, frozen}
	if out, err := exec.Command("strace", "-f", "-qq", "-o", os.DevNull, "-e", "inject=rename:error=EIO:when=1", "true").CombinedOutput(); err != nil {
		fmt.Printf("failing system calls are left out: strace is missing, or may not trace here: %s\n", firstLine(err, out))
	} else {
		all = append(all, calls, calls)
	}
	dir := filepath.Join(p.folder, "mount")
	_ = os.MkdirAll(dir, 0o755)
	if out, err := exec.Command("unshare", "-rm", "sh", "-c", "mount -t tmpfs tmpfs "+quote(dir)+" && mount -o remount,ro "+quote(dir)).CombinedOutput(); err != nil {
		fmt.Printf("small disks and read-only file systems are left out: no mount namespace here: %s\n", firstLine(err, out))
	} else {
		all = append(all, smallDisk, readOnly)
	}
	return all
}

func firstLine(err error, out []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return strings.TrimSpace(err.Error() + " " + line)
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// make makes a disturbance of a kind. What it returns is a promise that was broken
// meanwhile; the caller looks at the results and the folder.
func (d *disturbance) make(k kind) *failure {
	switch k {
	case kill:
		d.signalled(syscall.SIGKILL)
	case terminate:
		d.signalled(syscall.SIGTERM)
	case twice:
		return d.twice()
	case frozen:
		return d.frozen()
	case calls:
		d.faultyCalls()
	case smallDisk:
		return d.smallDisk()
	case readOnly:
		d.readOnly()
	}
	return nil
}

func (d *disturbance) start(before ...string) *process {
	p, err := d.attack.program.start(before, d.args...)
	if err != nil { // such as too many processes
		d.results = append(d.results, result{code: 1, said: "bitnet: " + err.Error()})
		return nil
	}
	return p
}

func (d *disturbance) end(p *process) result {
	r := p.end()
	d.results = append(d.results, r)
	return r
}

// moment waits until a random moment of the process: any time of its life or, more
// often, shortly after it began to write.
func (d *disturbance) moment(p *process) time.Duration {
	a := d.attack
	began := time.Now()
	if d.rng.IntN(3) > 0 {
		before := a.moving(d.dir)
		for !p.ended() && a.moving(d.dir) == before {
			time.Sleep(200 * time.Microsecond)
		}
		p.pause(time.Duration(d.rng.Float64() * float64(a.usual()) / 3))
	} else {
		p.pause(time.Duration(d.rng.Float64() * 1.1 * float64(a.usual())))
	}
	return time.Since(began).Round(time.Millisecond)
}

func (d *disturbance) signalled(s syscall.Signal) {
	p := d.start()
	if p == nil {
		return
	}
	d.story = fmt.Sprintf("%s after %s", s, d.moment(p))
	p.send(s)
	r := d.end(p)
	d.struck = r.signal == s || r.code == 130
}

// twice starts the command a second time within 0.8 seconds. One does the work, as if
// it were alone.
func (d *disturbance) twice() *failure {
	p := d.start()
	if p == nil {
		return nil
	}
	apart := time.Duration(d.rng.IntN(800)) * time.Millisecond
	d.story = fmt.Sprintf("a second start after %s", apart)
	p.pause(apart)
	d.struck = !p.ended()
	q := d.start()
	r := d.end(p)
	if q == nil {
		return nil
	}
	return d.one(r, d.end(q))
}

// one checks that of two at once one did the work.
func (d *disturbance) one(first, second result) *failure {
	switch {
	case first.code != 0 && second.code != 0:
		return failed(wrongResult, "of two at once neither did the work: %q and %q", first.said, second.said)
	case first.code == 0 && second.code == 0 && d.attack.alone:
		return failed(wrongResult, "of two at once both did the work")
	}
	return nil
}

// frozen stops the process at a random moment, starts a second one, and lets the
// first continue, or kills it, when the second has ended.
func (d *disturbance) frozen() *failure {
	p := d.start()
	if p == nil {
		return nil
	}
	after := d.moment(p)
	d.struck = !p.ended()
	p.send(syscall.SIGSTOP)
	q := d.start()
	var second result
	if q != nil {
		second = d.end(q)
	}
	if d.rng.IntN(3) == 0 {
		d.story = fmt.Sprintf("frozen after %s, a second start, killed", after)
		p.send(syscall.SIGKILL)
		d.end(p)
		return nil
	}
	d.story = fmt.Sprintf("frozen after %s, a second start", after)
	p.send(syscall.SIGCONT)
	first := d.end(p)
	if q == nil {
		return nil
	}
	return d.one(first, second)
}

// faultyCalls lets system calls fail. Those that a driver makes too fail only for
// the files of the command, as far as they are there at the start.
func (d *disturbance) faultyCalls() {
	log := d.dir + ".strace"
	defer os.Remove(log)
	inject := func(set, errno string, only bool) []string {
		// The count is that of each thread.
		when := fmt.Sprint(1 + d.rng.IntN(12))
		if errno != "EINTR" && d.rng.IntN(3) == 0 {
			when += "+"
		}
		d.story = fmt.Sprintf("%s of %s, at call %s", errno, set, when)
		words := []string{"strace", "-f", "-qq", "-o", log, "-e", "trace=" + set, "-e", fmt.Sprintf("inject=%s:error=%s:when=%s", set, errno, when)}
		if only {
			paths := d.paths()
			if len(paths) == 0 {
				return nil
			}
			for _, p := range paths {
				words = append(words, "-P", p)
			}
		}
		return words
	}
	var words []string
	errno := []string{"ENOSPC", "EIO", "EINTR", "EIO"}[d.rng.IntN(4)]
	switch d.rng.IntN(8) {
	case 0, 1:
		words = inject("fsync,fdatasync", errno, false)
	case 2, 3:
		words = inject("?rename,renameat,?renameat2", errno, false)
	case 4:
		words = inject("mkdirat,?mkdir", errno, false)
	case 5:
		words = inject("unlinkat,?unlink,?rmdir", errno, false)
	case 6:
		words = inject("openat,?open", errno, true)
	case 7:
		words = inject("write,pwrite64,ftruncate,getdents64,flock", errno, true)
	}
	if words == nil { // there is no file yet
		words = inject("fsync", errno, false)
	}
	if p := d.start(words...); p != nil {
		d.end(p)
		text, err := os.ReadFile(log)
		d.struck = err == nil && strings.Contains(string(text), "(INJECTED)")
	}
}

// paths are some of the files and folders of the command, those that change most
// first.
func (d *disturbance) paths() (out []string) {
	_ = filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil {
			out = append(out, path)
		}
		return nil
	})
	slices.SortStableFunc(out, func(a, b string) int {
		first := func(p string) int {
			if strings.Contains(p, "logs") {
				return 0
			}
			return 1
		}
		return first(a) - first(b)
	})
	return out[:min(len(out), 40)]
}

// smallDisk runs the command on a file system of memory that has room for a part of
// what it writes.
func (d *disturbance) smallDisk() *failure {
	used := space(d.dir)
	size := used + 8 + d.rng.IntN(d.attack.space)
	d.story = fmt.Sprintf("a disk with %d KiB free", size-used)
	in, out := d.dir+".in", d.dir+".out"
	if err := os.Rename(d.dir, in); err != nil {
		return failed(wrongResult, "%v", err)
	}
	if err := os.Mkdir(d.dir, 0o755); err != nil {
		return failed(wrongResult, "%v", err)
	}
	script := `mount -t tmpfs -o size=` + fmt.Sprint(size) + `k tmpfs "$0" && cp -a "$0.in/." "$0" || exit 99
"$@"
code=$?
cp -a "$0" "$0.out" || exit 98
exit $code`
	p := d.start("unshare", "-rm", "sh", "-c", script, d.dir)
	if p == nil {
		return failed(wrongResult, "%s", d.results[0].said)
	}
	r := p.end()
	keep, drop := out, in
	if r.code == 99 { // the disk was too small for what was there
		d.story += " (too small to start)"
		keep, drop = in, out
	} else {
		d.results = append(d.results, r)
		d.struck = r.code == 1 // data prepare refuses before it begins
	}
	if r.code == 98 || r.hung {
		return failed(wrongResult, "a small disk: %s", r.said)
	}
	for _, step := range []error{os.Remove(d.dir), os.Rename(keep, d.dir), os.RemoveAll(drop)} {
		if step != nil {
			return failed(wrongResult, "%v", step)
		}
	}
	return nil
}

// readOnly makes the file system read-only at a random moment. The system refuses
// that while a file is open for writing; then it comes as soon as none is.
func (d *disturbance) readOnly() {
	after := d.rng.Float64() * d.attack.usual().Seconds()
	place := d.dir
	if list, err := filepath.Glob(filepath.Join(d.dir, "*", "checkpoints")); err == nil && len(list) == 1 && d.rng.IntN(2) == 0 {
		place = list[0] // the logs are always open
	}
	d.story = fmt.Sprintf("%s read-only after %.2f s", filepath.Base(place), after)
	script := `mount --bind "$0" "$0" || exit 99
"$@" &
sleep ` + fmt.Sprintf("%.3f", after) + `
until mount -o remount,ro,bind "$0" 2>/dev/null; do kill -0 $! 2>/dev/null || break; sleep 0.01; done
wait $!`
	if p := d.start("unshare", "-rm", "sh", "-c", script, place); p != nil {
		d.struck = strings.Contains(d.end(p).said, "read-only file system")
	}
}
