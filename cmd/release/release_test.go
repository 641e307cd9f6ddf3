package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var moment = time.Date(2026, 11, 28, 15, 0, 0, 0, time.UTC)

func TestChooseTargets(t *testing.T) {
	all, err := choose(nil)
	require.NoError(t, err)
	require.Equal(t, targets, all)
	some, err := choose([]string{"windows/amd64", "linux/arm64"})
	require.NoError(t, err)
	require.Equal(t, []target{{"windows", "amd64"}, {"linux", "arm64"}}, some)
	_, err = choose([]string{"plan9/amd64"})
	require.ErrorContains(t, err, `no system "plan9/amd64"`)
	require.Equal(t, "bitnet-windows-amd64.zip", some[0].archive())
	require.Equal(t, "bitnet-linux-arm64.tar.gz", some[1].archive())
}

// A program that needs a newer C library, or a library that not every system has, is refused.
func TestNeeds(t *testing.T) {
	imports := func(versions ...string) (out []elf.ImportedSymbol) {
		for _, v := range versions {
			out = append(out, elf.ImportedSymbol{Name: "f", Version: v})
		}
		return out
	}
	require.NoError(t, checkGlibc(imports("GLIBC_2.31", "GLIBC_2.2.5", "GLIBC_2.4", "", "GCC_3.0", "GLIBC_PRIVATE")))
	require.ErrorContains(t, checkGlibc(imports("GLIBC_2.17", "GLIBC_2.34")), "needs f of glibc 2.34")
	require.ErrorContains(t, checkGlibc(imports("GLIBC_3.0")), "3.0")
	require.NoError(t, onlyOf([]string{"libc.so.6", "libm.so.6"}, linuxLibraries))
	require.ErrorContains(t, onlyOf([]string{"libc.so.6", "libX11.so.6"}, linuxLibraries), "libX11.so.6")
	require.ErrorContains(t, onlyOf([]string{"libwinpthread-1.dll"}, windowsLibraries), "libwinpthread")
	require.Error(t, checkNeeds("release_test.go", "linux"))
	require.Error(t, checkNeeds("release_test.go", "windows"))
}

// Archives hold the files with their modes, and the same bytes each time.
func TestPack(t *testing.T) {
	dir := t.TempDir()
	files := []file{{"bitnet", []byte("code"), true}, {"docs/use.md", []byte("text"), false}}
	for _, name := range []string{"a.tar.gz", "a.zip"} {
		path := filepath.Join(dir, name)
		require.NoError(t, pack(path, "bitnet-x", files, moment))
		first, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, pack(path, "bitnet-x", files, moment))
		second, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, first, second)
	}
	f, err := os.Open(filepath.Join(dir, "a.tar.gz"))
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	archive := tar.NewReader(z)
	for _, want := range []struct {
		name, text string
		mode       int64
	}{{"bitnet-x/bitnet", "code", 0o755}, {"bitnet-x/docs/use.md", "text", 0o644}} {
		h, err := archive.Next()
		require.NoError(t, err)
		require.Equal(t, want.name, h.Name)
		require.Equal(t, want.mode, h.Mode)
		require.True(t, h.ModTime.Equal(moment))
		text, err := io.ReadAll(archive)
		require.NoError(t, err)
		require.Equal(t, want.text, string(text))
	}
	zipped, err := zip.OpenReader(filepath.Join(dir, "a.zip"))
	require.NoError(t, err)
	defer zipped.Close()
	require.Equal(t, "bitnet-x/bitnet", zipped.File[0].Name)
	require.Equal(t, os.FileMode(0o755), zipped.File[0].Mode())
}

// The crates of wgpu-native are found by the places of their source, on every system.
func TestRustParts(t *testing.T) {
	code := []byte("x/home/u/.cargo/registry/src/index.crates.io-6f17/ash-0.37.3+1.3.251/src/lib.rs\x00" +
		`C:\Users\u\.cargo\registry\src\index.crates.io-6f17\bit-set-0.5.3\src\lib.rs` +
		"/.cargo/registry/src/index.crates.io-6f17/ash-0.37.3+1.3.251/src/a.rs" +
		"/.cargo/git/checkouts/wgpu-53e70f8674b08dd4/87576b7/naga/src/lib.rs")
	var urls []string
	for _, p := range rustParts(code) {
		urls = append(urls, p.url())
	}
	require.Equal(t, []string{"pkg:cargo/ash@0.37.3%2B1.3.251", "pkg:cargo/bit-set@0.5.3", "pkg:github/gfx-rs/wgpu@87576b7"}, urls)
}

func TestLicenceOf(t *testing.T) {
	for text, want := range map[string]string{
		"Permission is hereby granted,\nfree of charge, to any":                                        "MIT",
		"Redistribution and use in source and binary forms ... * Neither the name of the author":       "BSD-3-Clause",
		"Redistribution and use in source and binary forms, with or":                                   "BSD-2-Clause",
		"Apache License\n  Version 2.0, January 2004 ... permission is hereby granted, free of charge": "Apache-2.0 AND MIT",
		"All rights reserved.": "",
	} {
		require.Equal(t, want, licenceOf([]byte(text)), text)
	}
}

// The list of parts names what Go noted in a program, with licences, and does not change.
func TestSBOM(t *testing.T) {
	all, err := goParts(&debug.BuildInfo{GoVersion: "go1.26.0", Deps: []*debug.Module{
		{Path: "github.com/stretchr/testify", Version: "v1.11.1", Sum: "h1:sum"}, {Path: "gopkg.in/yaml.v3", Version: "v3.0.1"}}})
	require.NoError(t, err)
	all = append(all, rustParts([]byte("/registry/src/index.crates.io-6f17/ash-0.37.3+1.3.251/src/lib.rs"))...)
	from := source{"v1.2.3", strings.Repeat("a", 40), moment}
	text, err := all.sbom(target{"linux", "amd64"}, from)
	require.NoError(t, err)
	again, err := all.sbom(target{"linux", "amd64"}, from)
	require.NoError(t, err)
	require.Equal(t, text, again)
	var got bom
	require.NoError(t, json.Unmarshal(text, &got))
	require.Equal(t, "CycloneDX", got.Format)
	require.Equal(t, "v1.2.3", got.Metadata.Component.Version)
	require.Regexp(t, `^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, got.Serial)
	require.NotEqual(t, got.Serial, serial(target{"linux", "arm64"}, from))
	var urls []string
	for _, c := range got.Components {
		require.Equal(t, c.URL, c.Ref)
		urls = append(urls, c.URL)
	}
	require.Equal(t, []string{"pkg:golang/std@1.26.0", "pkg:golang/github.com/stretchr/testify@v1.11.1", "pkg:golang/gopkg.in/yaml.v3@v3.0.1",
		"pkg:cargo/ash@0.37.3%2B1.3.251"}, urls)
	require.Equal(t, []licence{{"MIT"}}, got.Components[1].Licences)
	require.Equal(t, []property{{"go:sum", "h1:sum"}}, got.Components[1].Properties)
	require.Equal(t, []licence{{"Apache-2.0 AND MIT"}}, got.Components[2].Licences)
	require.Len(t, got.Dependencies[0].On, len(got.Components))
	licences, err := all.licences()
	require.NoError(t, err)
	require.True(t, bytes.Contains(licences, []byte("\ngithub.com/stretchr/testify v1.11.1\n")))
	require.True(t, bytes.Contains(licences, []byte("Copyright (c) 2012-2020 Mat Ryer")))
}

// install.sh gets the address of the archives; checksums cover every file.
func TestInstallerAndChecksums(t *testing.T) {
	dir := t.TempDir()
	to := filepath.Join(dir, "install.sh")
	from := filepath.Join("..", "..", "docs", "install.sh")
	require.NoError(t, writeInstaller(from, to, "https://example.org/latest"))
	text, err := os.ReadFile(to)
	require.NoError(t, err)
	require.Contains(t, string(text), "\ndefault_releases='https://example.org/latest'\n")
	require.ErrorContains(t, writeInstaller(from, to, "it's"), "not an address")
	require.NoError(t, writeChecksums(dir))
	sums, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
	require.NoError(t, err)
	require.Regexp(t, `^[0-9a-f]{64}  install.sh\n$`, string(sums))
}

func TestStamped(t *testing.T) {
	commit := strings.Repeat("a", 40)
	info := &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "GOOS", Value: "linux"}, {Key: "vcs.revision", Value: commit}}}
	require.True(t, stamped(info, commit))
	require.False(t, stamped(info, strings.Repeat("b", 40)))
	require.False(t, stamped(&debug.BuildInfo{}, commit))
}

func TestSource(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1795878000")
	s, err := readSource("v1.0.0-rc.1")
	require.NoError(t, err)
	require.Equal(t, "v1.0.0-rc.1", s.version)
	require.Equal(t, int64(1795878000), s.time.Unix())
	_, err = readSource("1.0")
	require.ErrorContains(t, err, "not a version")
	t.Setenv("SOURCE_DATE_EPOCH", "today")
	_, err = readSource("")
	require.ErrorContains(t, err, "seconds since 1970")
}
