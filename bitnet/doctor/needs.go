package doctor

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"bitnet/bitnet/task/catalog"
	"bitnet/bitnet/train"
	"bitnet/data/corpus"
	"bitnet/data/disk"
	"bitnet/gpu"
)

// want is what a preset needs of the machine.
type want struct {
	preset     string
	err        error // why it does not fit the adapter's limits
	memory     int64 // bytes on the device
	checkpoint int64 // bytes of all that a run keeps at once
}

// presets plans each preset for an adapter, which touches no device.
func presets(a gpu.Adapter) ([]want, error) {
	var out []want
	for _, name := range train.Presets() {
		c, err := train.Preset(name)
		if err != nil {
			return nil, err
		}
		w := want{preset: name}
		model, plan, err := train.Plan(c, a)
		if err != nil {
			w.err = err
		} else {
			for _, m := range plan.Memory() {
				w.memory += m.Bytes
			}
			// The newest, those on both sides of the stage boundary, and the one
			// being written.
			kept := c.Output.KeepCheckpoints + 3
			if c.Output.KeepBest {
				kept++
			}
			w.checkpoint = train.CheckpointBytes(model) * int64(kept)
		}
		out = append(out, w)
	}
	return out, nil
}

// minBindings is what the kernels bind at most: WebGPU's guarantee.
const minBindings = 8

func limits(a gpu.Adapter, wants []want, err error) Finding {
	l := a.Limits
	if err != nil {
		return fail("build bitnet again", "the presets cannot be read: %v", err)
	}
	if l.StorageBindings < minBindings || l.WorkgroupInvocations < 256 || l.WorkgroupMemory < 16<<10 {
		return fail("update the graphics driver, or choose another adapter with --device",
			"less than WebGPU guarantees: %d bindings per kernel, %d invocations and %d KiB of memory per workgroup", l.StorageBindings, l.WorkgroupInvocations, l.WorkgroupMemory>>10)
	}
	var no []string
	for _, w := range wants {
		if w.err != nil {
			no = append(no, fmt.Sprintf("%s (%v)", w.preset, w.err))
		}
	}
	if len(no) > 0 {
		return warn("for these, lower --batch-size and raise --grad-accum", "too small for some presets: %s", strings.Join(no, "; "))
	}
	return ok("bindings of %d MiB, buffers of %d MiB: every preset fits", l.BindingSize>>20, l.BufferSize>>20)
}

// availableMemory is what Linux says is free to use, in bytes; 0 if unknown.
func availableMemory(meminfo string) int64 {
	text, err := os.ReadFile(meminfo)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) >= 2 && f[0] == "MemAvailable:" {
			kib, _ := strconv.ParseInt(f[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// memory compares what presets need with what there is. WebGPU does not know a
// card's own memory: there it can only report what is needed.
func memory(a gpu.Adapter, available int64, wants []want) Finding {
	system := a.Kind == gpu.CPU || a.Kind == gpu.Integrated
	var most want
	var no []string
	for _, w := range wants {
		if w.memory > most.memory {
			most = w
		}
		if system && available > 0 && w.memory > available {
			no = append(no, fmt.Sprintf("%s needs %s", w.preset, disk.Size(w.memory)))
		}
	}
	switch {
	case !system:
		return ok("the largest preset, %s, takes %s on the device; drivers do not report how much memory it has", most.preset, disk.Size(most.memory))
	case available == 0:
		return ok("the largest preset, %s, takes %s; how much is free is not known on this system", most.preset, disk.Size(most.memory))
	case len(no) > 0:
		return warn("close other programs, or lower --batch-size and raise --grad-accum", "%s free, but %s", disk.Size(available), strings.Join(no, ", "))
	}
	return ok("%s free; the largest preset, %s, takes %s", disk.Size(available), most.preset, disk.Size(most.memory))
}

// need is how many bytes something takes on a disk.
type need struct {
	preset string
	bytes  int64
}

func checkpoints(wants []want) []need {
	var out []need
	for _, w := range wants {
		out = append(out, need{w.preset, w.checkpoint})
	}
	return out
}

// texts are the data sets of the presets: what is downloaded, and its token shards.
func texts() []need {
	var out []need
	for _, name := range train.Presets() {
		c, err := train.Preset(name)
		if err != nil {
			continue
		}
		if p, ok := catalog.Known(c.Data.Source); ok {
			out = append(out, need{name, p.Bytes + corpus.Needs{Text: p.Text}.Shards(c.Model.VocabSize)})
		}
	}
	return out
}

// leastSpace is what a short run of a small preset writes, generously.
const leastSpace = 100e6

func room(path string, free int64, err error, needs []need, elsewhere string) Finding {
	if err != nil {
		return fail(elsewhere, "%s: %v", path, err)
	}
	if free < leastSpace {
		return fail("free some space, or "+elsewhere, "%s: only %s free", path, disk.Size(free))
	}
	var no, yes []string
	for _, n := range needs {
		if n.bytes > free {
			no = append(no, fmt.Sprintf("%s takes about %s", n.preset, disk.Size(n.bytes)))
		} else {
			yes = append(yes, n.preset)
		}
	}
	if len(no) > 0 {
		return warn("free some space, or "+elsewhere, "%s: %s free, but %s", path, disk.Size(free), strings.Join(no, ", "))
	}
	if len(yes) == 0 {
		return ok("%s: %s free", path, disk.Size(free))
	}
	return ok("%s: %s free, enough for %s", path, disk.Size(free), strings.Join(yes, ", "))
}

// writable writes a file to a folder and removes it.
func writable(dir, do string) Finding {
	f, err := os.CreateTemp(dir, ".bitnet-doctor-")
	if err != nil {
		return fail(do, "%v", err)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString("written by bitnet doctor\n")
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fail(do, "%v", err)
	}
	return ok("%s can be written to", dir)
}
