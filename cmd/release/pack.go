package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// file is one file of an archive.
type file struct {
	name    string // with slashes, below the archive's folder
	content []byte
	program bool // may be executed
}

// What an archive holds of the source besides the program: names of files and folders.
var (
	everywhere = []string{"LICENSE", "README.md", "docs", "gpu/dawn/install.sh", "gpu/dawn/package.json", "gpu/dawn/package-lock.json", "testdata/tictactoe"}
	onLinux    = []string{"gpu/install-vulkan.sh"}
)

// contents collects the files of an archive, by name.
func contents(t target, program string, sbom, licences []byte) ([]file, error) {
	code, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	files := []file{{t.program(), code, true}, {"bitnet.cdx.json", sbom, false}, {"THIRD-PARTY-LICENSES.txt", licences, false}}
	from := everywhere
	if t.os == "linux" {
		from = append(slices.Clone(from), onLinux...)
	}
	for _, top := range from {
		err := filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(p)
			files = append(files, file{filepath.ToSlash(p), text, strings.HasSuffix(p, ".sh")})
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return files, nil
}

// pack writes an archive, a zip or a tar.gz by its name. Its bytes depend on the arguments alone.
func pack(archive, folder string, files []file, at time.Time) (err error) {
	f, err := os.Create(archive)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if strings.HasSuffix(archive, ".zip") {
		return packZip(f, folder, files, at)
	}
	return packTar(f, folder, files, at)
}

func packTar(w io.Writer, folder string, files []file, at time.Time) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	for _, f := range files {
		h := tar.Header{Typeflag: tar.TypeReg, Name: path.Join(folder, f.name), Size: int64(len(f.content)), Mode: 0o644, ModTime: at, Format: tar.FormatPAX}
		if f.program {
			h.Mode = 0o755
		}
		if err := t.WriteHeader(&h); err != nil {
			return err
		}
		if _, err := t.Write(f.content); err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), z.Close())
}

func packZip(w io.Writer, folder string, files []file, at time.Time) error {
	z := zip.NewWriter(w)
	for _, f := range files {
		h := zip.FileHeader{Name: path.Join(folder, f.name), Method: zip.Deflate, Modified: at}
		h.SetMode(0o644)
		if f.program {
			h.SetMode(0o755)
		}
		to, err := z.CreateHeader(&h)
		if err != nil {
			return err
		}
		if _, err := to.Write(f.content); err != nil {
			return err
		}
	}
	return z.Close()
}

// writeInstaller writes install.sh with the address of the archives; "" leaves it open.
func writeInstaller(from, to, url string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	const line = "default_releases="
	before, after, ok := strings.Cut(string(text), "\n"+line+"\n")
	if !ok {
		return fmt.Errorf("%s has no line %q to put the address into", from, line)
	}
	if strings.ContainsAny(url, "'\n") {
		return fmt.Errorf("%q is not an address", url)
	}
	return os.WriteFile(to, []byte(before+"\n"+line+"'"+url+"'\n"+after), 0o755)
}

// writeChecksums writes SHA256SUMS, in the form of sha256sum, over the files in a folder.
func writeChecksums(dir string) error {
	entries, err := os.ReadDir(dir) // by name
	if err != nil {
		return err
	}
	var sums strings.Builder
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(content), e.Name())
	}
	return os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(sums.String()), 0o644)
}
