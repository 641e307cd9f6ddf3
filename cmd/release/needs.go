package main

import (
	"debug/elf"
	"debug/pe"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// newestGlibc is the C library of Debian 11: the program starts with it and with every newer one.
const newestGlibc = "2.31"

// Libraries that every system of a kind has. All others must be linked into the program.
var (
	linuxLibraries = []string{"libc.so.6", "libgcc_s.so.1", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1",
		"libresolv.so.2"}
	windowsLibraries = []string{"advapi32.dll", "api-ms-win-core-synch-l1-2-0.dll", "bcrypt.dll", "bcryptprimitives.dll", "d3dcompiler_47.dll", "gdi32.dll", "kernel32.dll", "msvcrt.dll",
		"ntdll.dll", "ole32.dll", "oleaut32.dll", "opengl32.dll", "user32.dll", "userenv.dll", "ws2_32.dll"}
)

// checkNeeds fails if a program needs more of a system than its oldest version has.
func checkNeeds(program, system string) error {
	switch system {
	case "linux":
		f, err := elf.Open(program)
		if err != nil {
			return err
		}
		defer f.Close()
		libraries, err := f.ImportedLibraries()
		if err != nil {
			return err
		}
		symbols, err := f.ImportedSymbols()
		if err != nil {
			return err
		}
		if err := onlyOf(libraries, linuxLibraries); err != nil {
			return err
		}
		return checkGlibc(symbols)
	case "windows":
		f, err := pe.Open(program)
		if err != nil {
			return err
		}
		defer f.Close()
		// ImportedLibraries of debug/pe gives nothing; a symbol is named SYMBOL:LIBRARY.
		symbols, err := f.ImportedSymbols()
		if err != nil {
			return err
		}
		var libraries []string
		for _, s := range symbols {
			_, library, _ := strings.Cut(s, ":")
			libraries = append(libraries, strings.ToLower(library))
		}
		return onlyOf(libraries, windowsLibraries)
	}
	return nil
}

func onlyOf(libraries, known []string) error {
	for _, l := range libraries {
		if !slices.Contains(known, l) {
			return fmt.Errorf("the program needs the library %s, which not every system has", l)
		}
	}
	return nil
}

// checkGlibc fails on symbols that newestGlibc does not have.
func checkGlibc(symbols []elf.ImportedSymbol) error {
	for _, s := range symbols {
		v, ok := strings.CutPrefix(s.Version, "GLIBC_")
		if ok && newer(v, newestGlibc) {
			return fmt.Errorf("the program needs %s of glibc %s, but must start with %s: build where the C library is old, or on Debian after .ci/sysroot amd64 arm64",
				s.Name, v, newestGlibc)
		}
	}
	return nil
}

// newer compares versions such as 2.31, number by number.
func newer(a, b string) bool {
	return slices.Compare(numbers(a), numbers(b)) > 0
}

func numbers(version string) (out []int) {
	for _, part := range strings.Split(version, ".") {
		n, _ := strconv.Atoi(part) // a word, such as PRIVATE, is no version of a public symbol
		out = append(out, n)
	}
	return out
}
