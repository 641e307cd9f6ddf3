package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// target is a system and a processor that releases are built for.
type target struct{ os, arch string }

// targets are all that wgpu-native comes for, of those that someone may train on.
var targets = []target{{"linux", "amd64"}, {"linux", "arm64"}, {"windows", "amd64"}, {"darwin", "amd64"}, {"darwin", "arm64"}}

func (t target) String() string { return t.os + "/" + t.arch }

// folder is the name of the folder in the archive. It has no version in it, so that the address of
// the newest archive stays.
func (t target) folder() string { return "bitnet-" + t.os + "-" + t.arch }

func (t target) archive() string {
	if t.os == "windows" {
		return t.folder() + ".zip"
	}
	return t.folder() + ".tar.gz"
}

func (t target) program() string {
	if t.os == "windows" {
		return "bitnet.exe"
	}
	return "bitnet"
}

// choose finds the targets of some names; all of them if there are none.
func choose(names []string) ([]target, error) {
	if len(names) == 0 {
		return targets, nil
	}
	var out []target
next:
	for _, name := range names {
		for _, t := range targets {
			if t.String() == name {
				out = append(out, t)
				continue next
			}
		}
		return nil, fmt.Errorf("there is no system %q: choose among %v", name, targets)
	}
	return out, nil
}

// triplets are Debian's names of the processors.
var triplets = map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}

// compiler is the C compiler: $CC_FOR_linux_arm64 and so on, or else the usual one.
func (t target) compiler() string {
	if cc := os.Getenv("CC_FOR_" + t.os + "_" + t.arch); cc != "" {
		return cc
	}
	switch {
	case t.os == "windows":
		return "x86_64-w64-mingw32-gcc"
	case t.os == "darwin":
		return "clang"
	case t.arch == runtime.GOARCH:
		return "gcc"
	}
	return triplets[t.arch] + "-gcc"
}

// missing says why this machine cannot build for the target; "" if it can.
func (t target) missing() string {
	if t.os == "darwin" && runtime.GOOS != "darwin" && os.Getenv("CC_FOR_darwin_"+t.arch) == "" {
		return fmt.Sprintf("it needs a Mac, or Apple's SDK and a compiler for it in $CC_FOR_darwin_%s", t.arch)
	}
	name, _, _ := strings.Cut(t.compiler(), " ")
	if _, err := exec.LookPath(name); err != nil {
		return fmt.Sprintf("the C compiler %s is missing (Debian: gcc libc6-dev, gcc-aarch64-linux-gnu, gcc-mingw-w64-x86-64)", name)
	}
	return ""
}

// sysroot gives the flags that make a C compiler use the old C library of .ci/sysroot, if it is there.
func (t target) sysroot() []string {
	root, err := filepath.Abs(filepath.Join(".sysroot", t.arch))
	if err != nil || t.os != "linux" {
		return nil
	}
	if _, err := os.Stat(root); err != nil {
		return nil
	}
	lib := triplets[t.arch]
	return []string{
		"--sysroot=" + root, "-B" + filepath.Join(root, "usr", "lib", lib),
		"-L" + filepath.Join(root, "usr", "lib", lib), "-L" + filepath.Join(root, "lib", lib),
		"-isystem", filepath.Join(root, "usr", "include", lib), "-isystem", filepath.Join(root, "usr", "include"),
	}
}

// build compiles the program.
func (t target) build(program string, from source) error {
	cc := append(strings.Fields(t.compiler()), t.sysroot()...)
	link := "-s -w -X main.release=" + from.version
	vcs := "-buildvcs=" + strconv.FormatBool(from.commit != "")
	c := exec.Command("go", "build", "-trimpath", vcs, "-ldflags", link, "-o", program, "./cmd/bitnet")
	c.Env = append(os.Environ(), "GOOS="+t.os, "GOARCH="+t.arch, "CGO_ENABLED=1", "CC="+strings.Join(cc, " "),
		"GOFLAGS=-mod=readonly", "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=", "CGO_CFLAGS=-O2 -g0", "CGO_CPPFLAGS=", "CGO_LDFLAGS=")
	if t.os == "darwin" {
		c.Env = append(c.Env, "MACOSX_DEPLOYMENT_TARGET=11.0")
	}
	text, err := c.CombinedOutput()
	if err != nil {
		return errors.New("the build failed:\n" + string(text))
	}
	return nil
}
