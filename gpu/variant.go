package gpu

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
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

// variant returns the kernel for one dispatch, and which of the dispatch's bindings
// it takes. In WebGPU a dispatch may not both read and write a buffer through
// different bindings, even if their ranges do not overlap, unless all of that
// buffer's bindings are read_write. Tensors that share one buffer are bound like that
// all the time. For such dispatches the kernel is compiled a second time with `read`
// replaced by `read_write`. Bindings that are read_write may not share a range, so
// that a range that the kernel reads by two names is then bound once.
func (d *Device) variant(dispatch Dispatch) (*Kernel, []int, error) {
	k := dispatch.Kernel
	access := slices.Clone(k.access)
	kept := make([]int, len(access))
	for i, b := range dispatch.Bindings {
		kept[i] = i
		for j, other := range dispatch.Bindings {
			if b.Buffer == other.Buffer && k.access[j] == ReadWrite {
				access[i] = ReadWrite
			}
		}
	}
	if slices.Equal(access, k.access) {
		return k, kept, nil
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
			return nil, nil, fmt.Errorf("buffer %q is read by binding %d and written by another: declare it as \"@group(0) @binding(%d) var<storage, read>\" so that it can be bound as read_write", dispatch.Bindings[i].Buffer.label, i, i)
		}
	}
	wgsl, kept, err := bindOnce(wgsl, dispatch.Bindings, access, k.access)
	if err != nil {
		return nil, nil, err
	}
	var still []Access
	for _, i := range kept {
		still = append(still, access[i])
	}
	kernel, err := d.kernel(k.label, wgsl, still)
	return kernel, kept, err
}

// bindOnce lets a kernel read a range by one name that it read by two, which are now
// read_write, and returns the bindings that stay.
func bindOnce(wgsl string, bindings []Binding, access, before []Access) (string, []int, error) {
	var kept []int
	place := map[int]int{} // of the bindings that stay
	for i, b := range bindings {
		first := slices.IndexFunc(bindings[:i], func(o Binding) bool { return o.Buffer == b.Buffer && b.Offset < o.end() && o.Offset < b.end() })
		if first < 0 || access[i] == before[i] {
			place[i] = len(kept)
			kept = append(kept, i)
			continue
		}
		if o := bindings[first]; o.Offset != b.Offset || o.end() != b.end() {
			return "", nil, fmt.Errorf("bindings %d and %d overlap in buffer %q, which is written, too: bind the same range, or tensors of another buffer", first, i, b.Buffer.label)
		}
		var err error
		if wgsl, err = rename(wgsl, i, first); err != nil {
			return "", nil, err
		}
	}
	wgsl = declaration.ReplaceAllStringFunc(wgsl, func(found string) string {
		i, _ := parseDeclaration(found)
		return fmt.Sprintf("@group(0) @binding(%d) var<storage, %s>", place[i], accessName(access[i]))
	})
	return wgsl, kept, nil
}

// variable matches a whole declaration of a storage buffer: its name and type.
var variable = regexp.MustCompile(declaration.String() + `\s*(\w+)\s*:\s*([^;]+);`)

// comment matches WGSL's comments to the end of a line.
var comment = regexp.MustCompile(`//[^\n]*`)

// rename removes the declaration of a binding, and lets the source use that of
// another binding of the same type in its place.
func rename(wgsl string, from, to int) (string, error) {
	var old, kept []string
	for _, m := range variable.FindAllStringSubmatch(wgsl, -1) {
		switch binding, _ := parseDeclaration(m[0]); binding {
		case from:
			old = m
		case to:
			kept = m
		}
	}
	if old == nil || kept == nil || old[4] != kept[4] {
		return "", fmt.Errorf("bindings %d and %d are one range of a buffer that is written, too, and the kernel declares them with different types", to, from)
	}
	wgsl = comment.ReplaceAllString(strings.Replace(wgsl, old[0], "", 1), "")
	if local := regexp.MustCompile(`\b(?:let|var|const)\s+` + kept[3] + `\b|[(,]\s*` + kept[3] + `\s*:`); local.MatchString(wgsl) {
		return "", fmt.Errorf("bindings %d and %d are one range of a buffer that is written, too: the kernel may call nothing else %s", to, from, kept[3])
	}
	used := regexp.MustCompile(`(^|[^.\w])` + old[3] + `\b(\[?)`) // not as a member of something
	for used.MatchString(wgsl) {
		before := wgsl
		wgsl = used.ReplaceAllStringFunc(wgsl, func(found string) string {
			if m := used.FindStringSubmatch(found); m[1] == "&" || m[2] == "[" {
				return m[1] + kept[3] + m[2]
			}
			return found
		})
		if wgsl == before {
			return "", fmt.Errorf("bindings %d and %d are one range of a buffer that is written, too: the kernel may use %s only as %s[i] and &%s", to, from, old[3], old[3], old[3])
		}
	}
	return wgsl, nil
}
