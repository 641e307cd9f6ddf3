// Package doctor looks at a machine the way training will: adapter, driver,
// limits, memory, disks, and one kernel that really runs. Each problem
// comes with what to do about it.
package doctor

import (
	"fmt"
	"os"
	"runtime"

	"bitnet/data/disk"
	"bitnet/gpu"
	"bitnet/gpu/driver"
)

// Grade is how good what was found is.
type Grade string

const (
	OK   Grade = "ok"
	Warn Grade = "warn" // works, but less well than it could
	Fail Grade = "fail" // training will not work
)

// Finding is what one check found.
type Finding struct {
	Check string `json:"check"`
	Grade Grade  `json:"grade"`
	Says  string `json:"says"`
	Do    string `json:"do,omitempty"` // what to do about it; "" if nothing
}

func ok(format string, values ...any) Finding {
	return Finding{Grade: OK, Says: fmt.Sprintf(format, values...)}
}

func warn(do, format string, values ...any) Finding {
	return Finding{Grade: Warn, Says: fmt.Sprintf(format, values...), Do: do}
}

func fail(do, format string, values ...any) Finding {
	return Finding{Grade: Fail, Says: fmt.Sprintf(format, values...), Do: do}
}

// Options say what to look at.
type Options struct {
	Backend, Device string // as in gpu.AdaptersOf and gpu.Choose
	RunsDir         string
}

// Examine makes all checks, and hands each finding over as it comes. It writes
// small files and removes them, and starts backends that are installed.
func Examine(o Options, found func(Finding)) {
	say := func(check string, f Finding) {
		f.Check = check
		found(f)
	}
	adapters, err := gpu.AdaptersOf(o.Backend)
	var chosen gpu.Adapter
	if err == nil {
		var i int
		if i, err = gpu.Choose(adapters, o.Device); err == nil {
			chosen = adapters[i]
		}
	}
	say("adapter", adapter(adapters, chosen, err))
	say("card", card(cards("/sys/bus/pci/devices"), adapters))
	var wants []want
	if err == nil {
		var wantsErr error
		wants, wantsErr = presets(chosen)
		say("driver", softwareVersion(chosen))
		if chosen.Kind == gpu.CPU && mesa.MatchString(chosen.Driver) && chosen.Backend == "wgpu" && runtime.GOOS == "linux" {
			say("huge pages", hugePages("/sys/kernel/mm/transparent_hugepage/enabled"))
		}
		say("kernel", runKernel(chosen))
		say("limits", limits(chosen, wants, wantsErr))
		say("timestamps", timestamps(chosen))
		say("memory", memory(chosen, availableMemory("/proc/meminfo"), wants))
	}
	for _, d := range driver.All() {
		if b := d.Info(); b.Install != "" {
			_, err := gpu.AdaptersOf(b.Name)
			say(b.Name, optional(b, chosen, err))
		}
	}

	const other = "choose another folder with --runs-dir"
	say("runs", writable(disk.Nearest(o.RunsDir), other))
	free, _, freeErr := disk.Free(o.RunsDir)
	say("runs disk", room(o.RunsDir, free, freeErr, checkpoints(wants), other))
	dir, err := os.UserCacheDir()
	if err != nil {
		say("cache", fail("set HOME or XDG_CACHE_HOME to a folder that you can write to", "there is no cache folder: %v", err))
		return
	}
	say("cache", writable(disk.Nearest(dir), "let this user write there, or on Linux set XDG_CACHE_HOME to another folder"))
	free, _, freeErr = disk.Free(dir)
	say("cache disk", room(dir, free, freeErr, texts(), "set HF_HUB_CACHE (downloads) and data.dir (token shards) to folders on a larger disk"))
}
