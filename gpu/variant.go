package gpu

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
)

// declaration matches the head of a storage buffer that is only read:
// "@group(0) @binding(2) var<storage, read>".
var declaration = regexp.MustCompile(`@group\s*\(\s*0\s*\)\s*@binding\s*\(\s*(\d+)\s*\)\s*var\s*<\s*storage\s*(?:,\s*read\s*)?>`)

// variant returns the kernel for one dispatch. WebGPU does not let a dispatch
// both read and write a buffer through different bindings, even where their
// ranges are apart, unless all of that buffer's bindings are read_write. Ranges
// of one arena are bound like that all the time; for those dispatches the
// kernel is compiled once more with `read` turned into `read_write`.
func (d *Device) variant(dispatch Dispatch) (*Kernel, error) {
	k := dispatch.Kernel
	access := slices.Clone(k.access)
	for i, b := range dispatch.Bindings {
		for j, other := range dispatch.Bindings {
			if b.Buffer == other.Buffer && k.access[j] == ReadWrite {
				access[i] = ReadWrite
			}
		}
	}
	if slices.Equal(access, k.access) {
		return k, nil
	}
	rewritten := map[int]bool{}
	wgsl := declaration.ReplaceAllStringFunc(k.wgsl, func(found string) string {
		i, err := strconv.Atoi(declaration.FindStringSubmatch(found)[1])
		if err != nil || i >= len(access) || access[i] == k.access[i] {
			return found
		}
		rewritten[i] = true
		return fmt.Sprintf("@group(0) @binding(%d) var<storage, read_write>", i)
	})
	for i := range access {
		if access[i] != k.access[i] && !rewritten[i] {
			return nil, fmt.Errorf("buffer %q is read by binding %d and written by another: declare it as \"@group(0) @binding(%d) var<storage, read>\" so that it can be bound as read_write", dispatch.Bindings[i].Buffer.label, i, i)
		}
	}
	return d.kernel(k.label, wgsl, access)
}
