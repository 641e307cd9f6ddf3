package gpu

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
)

// declaration matches the head of a storage buffer, as in
// "@group(0) @binding(2) var<storage, read>".
var declaration = regexp.MustCompile(`@group\s*\(\s*0\s*\)\s*@binding\s*\(\s*(\d+)\s*\)\s*var\s*<\s*storage\s*(?:,\s*(read|read_write)\s*)?>`)

func parseDeclaration(found string) (binding int, access Access) {
	parts := declaration.FindStringSubmatch(found)
	binding, err := strconv.Atoi(parts[1])
	if err != nil {
		binding = -1
	}
	if parts[2] == "read_write" {
		return binding, ReadWrite
	}
	return binding, Read
}

// mismatch says how the bindings that a source declares differ from the caller's
// access, because drivers' errors about that are unclear. It is "" if there is no
// difference.
func mismatch(wgsl string, access []Access) string {
	declared := map[int]bool{}
	for _, found := range declaration.FindAllString(wgsl, -1) {
		i, a := parseDeclaration(found)
		declared[i] = true
		switch {
		case i < 0 || i >= len(access):
			return fmt.Sprintf("it declares binding %d, but was given access for %d bindings", i, len(access))
		case a != access[i]:
			return fmt.Sprintf("it declares binding %d as %s, but was given it as %s", i, accessName(a), accessName(access[i]))
		}
	}
	for i := range access {
		if !declared[i] {
			return fmt.Sprintf("it was given access for %d bindings, but does not declare binding %d", len(access), i)
		}
	}
	return ""
}

func accessName(a Access) string {
	if a == ReadWrite {
		return "read_write"
	}
	return "read"
}

// variant returns the kernel for one dispatch. In WebGPU a dispatch may not both
// read and write a buffer through different bindings, even if their ranges do not
// overlap, unless all of that buffer's bindings are read_write. Tensors that share
// one buffer are bound like that all the time. For such dispatches the kernel is
// compiled a second time with `read` replaced by `read_write`.
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
		i, declared := parseDeclaration(found)
		if i < 0 || i >= len(access) || access[i] == declared {
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
