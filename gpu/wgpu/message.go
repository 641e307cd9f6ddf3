package wgpu

import (
	"regexp"
	"strconv"
	"strings"

	"bitnet/gpu/driver"
)

// place finds "┌─ name:line:column" in an error that naga has drawn.
var place = regexp.MustCompile(`┌─ .*?:(\d+):(\d+)\n`)

// compileError reads wgpu's message about a faulty kernel:
//
//	Validation Error
//
//	Caused by:
//	    In wgpuDeviceCreateShaderModule
//	      note: label = `saxpy`
//
//	Shader 'saxpy' parsing error: expected ';', found '}'
//	  ┌─ wgsl:5:1
//	  │
//	5 │ }
//	  │ ^ expected ';'
//
//
//	    expected ';', found '}'
//
// The drawing is left out here: package gpu quotes the line itself.
func compileError(message string) *driver.CompileError {
	e := &driver.CompileError{}
	at := place.FindStringSubmatchIndex(message)
	if at == nil {
		e.Message = oneLine(message)
		return e
	}
	e.Line, _ = strconv.Atoi(message[at[2]:at[3]])
	e.Column, _ = strconv.Atoi(message[at[4]:at[5]])

	var parts []string
	if _, fault, ok := strings.Cut(message[:at[0]], "parsing error:"); ok {
		parts = append(parts, fault)
	}
	for _, line := range strings.Split(message[at[1]:], "\n") {
		if _, drawn, ok := strings.Cut(line, "│"); ok {
			_, line, _ = strings.Cut(drawn, "^")
			line = strings.TrimLeft(line, "^- │")
		}
		parts = append(parts, strings.TrimPrefix(strings.TrimSpace(line), "= "))
	}
	e.Message = join(parts)
	return e
}

// oneLine joins the causes of a wgpu error, outermost first.
func oneLine(message string) string { return join(strings.Split(message, "\n")) }

// join drops lines that say nothing and lines that repeat another.
func join(parts []string) string {
	var out []string
next:
	for _, p := range parts {
		p = strings.TrimSpace(p)
		for _, noise := range []string{"Validation Error", "Caused by:", "In wgpu", "note: label =", "note: encoder =", "naga::", "Error matching shader requirements"} {
			if p == "" || strings.HasPrefix(p, noise) {
				continue next
			}
		}
		for _, said := range out {
			if strings.Contains(said, p) {
				continue next
			}
		}
		out = append(out, p)
	}
	if len(out) == 0 {
		return "wgpu gave no reason"
	}
	return strings.Join(out, "; ")
}
