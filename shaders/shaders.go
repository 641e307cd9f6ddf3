// Package shaders holds the WGSL kernels, one family a file, and specialises
// them: every shape is a constant of the source, so that the compiler can
// unroll and fold. It knows WGSL and no buffers: a Source names its bindings in
// order and says how many workgroups to start.
package shaders

import (
	"bytes"
	"embed"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"text/template"
)

//go:embed *.wgsl
var files embed.FS

// Target is the kind of machine that a kernel is laid out for.
type Target int

const (
	// GPU kernels let many invocations share a row or a tile through
	// workgroup memory.
	GPU Target = iota
	// CPU kernels are for software Vulkan (lavapipe), which runs eight
	// invocations as one vector and loads lane by lane: each invocation
	// works alone on as much as its registers hold.
	CPU
	// CPUTable kernels are CPU kernels that may use the uniform table that
	// package gpu offers on lavapipe: an operand that all invocations of a
	// workgroup share is then loaded once.
	CPUTable
)

func (t Target) String() string {
	return [...]string{"gpu", "cpu", "cpu+table"}[t]
}

// Source is one specialised kernel.
type Source struct {
	Label   string    // for error messages and profiles: "matmul 4096x768x256 i8.t2"
	Family  string    // the file it was made from, without .wgsl
	Variant string    // of the family, where there are several
	Code    string    // WGSL, entry point "main"
	Groups  [3]uint32 // workgroups to dispatch
	Names   []string  // the bindings 0, 1, ... by the names of their variables
	Writes  []bool    // whether the kernel writes each binding
	Flops   float64   // multiplications and additions of one dispatch
}

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"seq": func(n int) []int {
		s := make([]int, n)
		for i := range s {
			s[i] = i
		}
		return s
	},
	"mul":  func(a, b int) int { return a * b },
	"add":  func(a, b int) int { return a + b },
	"div":  func(a, b int) int { return a / b },
	"sub":  func(a, b int) int { return a - b },
	"xyzw": func(i int) string { return string("xyzw"[i]) },
	"f32":  f32Literal,
	"un":   uniform,
}).ParseFS(files, "*.wgsl"))

// uniform writes an expression below limit, the same in all invocations of a
// workgroup, so that lavapipe's compiler can prove that.
func uniform(limit int, expression string) string {
	digits := 1
	for n := 64; n < limit; n *= 64 {
		digits++
	}
	return fmt.Sprintf("uniform%d(%s)", digits, expression)
}

// maxUniform is the largest limit that uniform can write.
const maxUniform = 64 * 64 * 64

// f32Literal writes v so that WGSL reads back the same float32.
func f32Literal(v float32) string {
	s := strconv.FormatFloat(float64(v), 'g', -1, 32)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s + "f"
}

var declaration = regexp.MustCompile(`@group\(0\) @binding\((\d+)\) var<storage, (read|read_write)> (\w+)`)

// source renders the template of one file. A fault in it is ours, not the
// user's, so it panics; the tests render every kernel.
func source(file, label string, groups [3]uint32, flops float64, params any) Source {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, file, params); err != nil {
		panic(fmt.Sprintf("shaders: %s: %v", file, err))
	}
	s := Source{Label: label, Family: strings.TrimSuffix(file, ".wgsl"), Code: b.String(), Groups: groups, Flops: flops}
	for i, m := range declaration.FindAllStringSubmatch(s.Code, -1) {
		if m[1] != strconv.Itoa(i) {
			panic(fmt.Sprintf("shaders: %s: binding %s is declared as number %d", file, m[1], i))
		}
		s.Names = append(s.Names, m[3])
		s.Writes = append(s.Writes, m[2] == "read_write")
	}
	return s
}

// maxGroups is WebGPU's guaranteed limit of workgroups in one dimension.
const maxGroups = 65535

// fold spreads n workgroups over x and y.
func fold(n int) [3]uint32 {
	if n <= maxGroups {
		return [3]uint32{uint32(max(n, 1)), 1, 1}
	}
	y := ceilDiv(n, maxGroups)
	return [3]uint32{uint32(ceilDiv(n, y)), uint32(y), 1}
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// Words4 is the number of u32 words of a row of n int8 values, four a word.
func Words4(n int) int { return ceilDiv(n, 4) }

// Words16 is the number of u32 words of a row of n ternary values, 16 a word.
func Words16(n int) int { return ceilDiv(n, 16) }

// threads is the layout of an elementwise kernel.
func (t Target) threads() int {
	if t != GPU {
		return 32
	}
	return 256
}

// lanes is how many invocations share one row of n values, and how many rows
// a workgroup takes.
func (t Target) lanes(n int) (lanes, rows int) {
	if t != GPU {
		return 1, 16
	}
	lanes = 32
	for lanes < 256 && lanes*8 <= n {
		lanes *= 2
	}
	return lanes, 1
}
