package shaders

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"text/template"
)

// Source is one specialised kernel.
type Source struct {
	Label   string    // for error messages and profiles: "matmul 4096x768x256 i8.t2"
	Family  string    // the file below shaders/ that it was made from, without .wgsl: "matmul/rows"
	Variant string    // of the family, where there are several
	Code    string    // WGSL, entry point "main"
	Groups  [3]uint32 // workgroups to dispatch
	Names   []string  // the bindings 0, 1, ... by the names of their variables
	Writes  []bool    // whether the kernel writes each binding
	Flops   float64   // multiplications and additions of one dispatch
}

// Variant is one of several kernels that compute the same in different layouts.
type Variant struct {
	Name   string // readable, and the same in all versions that have it
	Source func() Source
}

//go:embed *.wgsl
var shared embed.FS

// Family renders the WGSL files of one folder.
type Family struct {
	name      string
	text      []byte
	templates *template.Template
}

// NewFamily parses the WGSL files of a family, and the shared files whose parts
// they use. A mistake in them is a bug, so it panics.
func NewFamily(name string, files fs.FS, sharedFiles ...string) *Family {
	f := &Family{name: name, templates: template.New(name).Funcs(functions).Funcs((&bindings{}).functions())}
	add := func(from fs.FS, file string) {
		text, err := fs.ReadFile(from, file)
		if err == nil && f.templates.Lookup(file) != nil {
			err = fmt.Errorf("there are two files %s", file)
		}
		if err == nil {
			f.text = append(f.text, text...)
			_, err = f.templates.New(file).Parse(string(text))
		}
		if err != nil {
			panic(fmt.Sprintf("shaders: %s: %v", name, err))
		}
	}
	for _, file := range sharedFiles {
		add(shared, file)
	}
	own, err := fs.Glob(files, "*.wgsl")
	if err != nil || len(own) == 0 {
		panic(fmt.Sprintf("shaders: %s has no WGSL files: %v", name, err))
	}
	for _, file := range own {
		add(files, file)
	}
	return f
}

// Text is everything that the family's kernels are rendered from.
func (f *Family) Text() []byte { return slices.Clone(f.text) }

// Source renders one file of the family. A mistake in it is a bug, so it panics;
// the tests render every kernel.
func (f *Family) Source(file, label string, groups [3]uint32, flops float64, params any) Source {
	var declared bindings
	var code bytes.Buffer
	t, err := f.templates.Clone()
	if err == nil {
		err = t.Funcs(declared.functions()).ExecuteTemplate(&code, file, params)
	}
	if err != nil {
		panic(fmt.Sprintf("shaders: %s/%s: %v", f.name, file, err))
	}
	return Source{
		Label: label, Family: f.name + "/" + strings.TrimSuffix(file, ".wgsl"), Code: tidy(code.String()),
		Groups: groups, Names: declared.names, Writes: declared.writes, Flops: flops,
	}
}

// tidy removes the blank lines that actions leave, but for one at a time.
func tidy(code string) string {
	lines := strings.Split(strings.TrimSpace(code), "\n")
	lines = slices.CompactFunc(lines, func(a, b string) bool { return strings.TrimSpace(a) == "" && strings.TrimSpace(b) == "" })
	return strings.Join(lines, "\n") + "\n"
}

// bindings are what a kernel has declared so far.
type bindings struct {
	names  []string
	writes []bool
}

func (b *bindings) functions() template.FuncMap {
	return template.FuncMap{
		"read":  func(format string, types ...any) string { return b.declare("read", format, types) },
		"write": func(format string, types ...any) string { return b.declare("read_write", format, types) },
	}
}

// declare writes the declaration of the next binding; variable is its name and
// type, "x: array<f32>", with a verb for each of the types.
func (b *bindings) declare(access, variable string, types []any) string {
	variable = fmt.Sprintf(variable, types...)
	name, _, _ := strings.Cut(variable, ":")
	b.names = append(b.names, name)
	b.writes = append(b.writes, access == "read_write")
	return fmt.Sprintf("@group(0) @binding(%d) var<storage, %s> %s;", len(b.names)-1, access, variable)
}

// functions are those that every template has.
var functions = template.FuncMap{
	"seq":       seq,
	"add":       func(a, b int) int { return a + b },
	"sub":       func(a, b int) int { return a - b },
	"mul":       func(a, b int) int { return a * b },
	"div":       func(a, b int) int { return a / b },
	"mod":       func(a, b int) int { return a % b },
	"f32":       f32,
	"component": component,
	"digits":    digits,
	"args":      args,
	"list":      func(names ...string) []string { return names },
}

// seq counts from 0 to n-1.
func seq(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

// f32 writes v so that WGSL reads back the same float32.
func f32(v float32) string {
	s := strconv.FormatFloat(float64(v), 'g', -1, 32)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s + "f"
}

// component selects component i of a value of n components, which is a scalar
// where n is 1.
func component(n, i int) string {
	if n == 1 {
		return ""
	}
	return "." + "xyzw"[i:i+1]
}

// digits is how many base-64 digits the numbers below limit have.
func digits(limit int) int {
	d := 1
	for n := 64; n < limit; n *= 64 {
		d++
	}
	return d
}

// MaxUniform is the largest limit for which uniform.wgsl has a uniform function.
const MaxUniform = 64 * 64 * 64

// args names the values that a template is given: a name, a value, and again.
func args(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("args has a name without a value: %v", pairs)
	}
	m := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("args wants a name and not %v", pairs[i])
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}
