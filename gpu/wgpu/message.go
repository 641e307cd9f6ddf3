package wgpu

import (
	"regexp"
	"strconv"
	"strings"

	"bitnet/gpu/driver"
)

// place finds "┌─ name:line:column" in an error that naga has drawn.
var place = regexp.MustCompile(`┌─ .*?:(\d+):(\d+)`)

// compileError reads wgpu's message about a faulty kernel:
//
//	Validation Error
//
//	Caused by:
//	    In wgpuDeviceCreateShaderModule
//	    Shader 'label' parsing error: expected ';', found '}'
//	      ┌─ wgsl:3:5
//	      │
//	    3 │     let x = 1
//	      │              ^ expected ';'
//
// Faults found after parsing have their message beside the marks instead.
func compileError(message string) *driver.CompileError {
	e := &driver.CompileError{Message: oneLine(message)}
	at := place.FindStringSubmatchIndex(message)
	if at == nil {
		return e
	}
	e.Line, _ = strconv.Atoi(message[at[2]:at[3]])
	e.Column, _ = strconv.Atoi(message[at[4]:at[5]])

	var parts []string
	head := message[:at[0]]
	if _, fault, ok := strings.Cut(head, "parsing error:"); ok {
		parts = append(parts, strings.TrimSpace(fault))
	}
	for _, line := range strings.Split(message[at[1]:], "\n") {
		if _, beside, drawn := strings.Cut(line, "│"); drawn {
			if note := strings.Trim(beside, " ^-│╭╰─"); strings.Contains(beside, "^") && note != "" {
				parts = append(parts, note)
			}
			continue
		}
		if note := strings.TrimSpace(line); note != "" {
			parts = append(parts, strings.TrimPrefix(note, "= "))
		}
	}
	if len(parts) > 0 {
		e.Message = strings.Join(unique(parts), "; ")
	}
	return e
}

// oneLine joins the causes of a wgpu error, outermost first.
func oneLine(message string) string {
	var parts []string
	for _, line := range strings.Split(message, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line == "Validation Error" || line == "Caused by:" || strings.HasPrefix(line, "In wgpu") {
			continue
		}
		parts = append(parts, line)
	}
	return strings.Join(unique(parts), "; ")
}

func unique(parts []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, p := range parts {
		if !seen[p] {
			seen[p] = true
			out = append(out, p)
		}
	}
	return out
}
