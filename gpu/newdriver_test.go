package gpu_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
)

// TestNewDriver uses a driver that is one package (internal/fake) and one file
// (driver_fake_test.go).
func TestNewDriver(t *testing.T) {
	require.Contains(t, gpu.Backends(), "fake")
	require.Contains(t, gpu.BackendList(), "fake (after make fake)")

	found, err := gpu.AdaptersOf("fake")
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, "fake", found[0].Backend)
	for _, backend := range gpu.Backends() {
		others, err := gpu.AdaptersOf(backend)
		if err == nil && backend != "fake" {
			require.NotContains(t, others, found[0], "only by its name, not of %s", backend)
		}
	}

	t.Setenv("BITNET_BACKEND", "fake")
	d := open(t)
	require.Equal(t, "Fake 1", d.Adapter().Name)
	k := kernel(t, d, "add one", step, gpu.ReadWrite)
	x := upload(t, d, "x", []uint32{1, 2, 3})
	p := program(t, d, gpu.Dispatch{Kernel: k, Bindings: whole(x), Groups: [3]uint32{1, 1, 1}})
	require.NoError(t, p.Run())
	require.NoError(t, p.Run())
	require.Equal(t, []uint32{3, 4, 5}, download[uint32](t, x))
}

// driverLeaks lists where a file of package gpu knows a driver: a text with its
// name in it, or the import of its package outside of a file driver_*.go.
func driverLeaks(t *testing.T, file string, source any, names []string) (leaks []string) {
	t.Helper()
	const drivers = "bitnet/gpu/"
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, file, source, 0)
	require.NoError(t, err)
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			path, err := strconv.Unquote(n.Path.Value)
			require.NoError(t, err)
			if strings.HasPrefix(path, drivers) && path != drivers+"driver" && !strings.HasPrefix(filepath.Base(file), "driver_") {
				leaks = append(leaks, files.Position(n.Pos()).String()+": "+path)
			}
			return false
		case *ast.BasicLit:
			for _, name := range names {
				if n.Kind == token.STRING && strings.Contains(n.Value, name) {
					leaks = append(leaks, files.Position(n.Pos()).String()+": "+n.Value)
				}
			}
		}
		return true
	})
	return leaks
}

func TestNoFileNamesADriver(t *testing.T) {
	names := gpu.Backends()[1:]
	require.Contains(t, names, "dawn")
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	checked := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		require.Empty(t, driverLeaks(t, file, nil, names), "ask the driver with Info instead")
		checked++
	}
	require.Greater(t, checked, 5)

	const bad = `package gpu
import "bitnet/gpu/dawn"
func f(a Adapter) bool { return a.Backend == "dawn" || dawn.Installed() == nil }`
	require.Equal(t, []string{"bad.go:2:8: bitnet/gpu/dawn", `bad.go:3:46: "dawn"`}, driverLeaks(t, "bad.go", bad, names))
	require.Equal(t, []string{`driver_bad.go:3:46: "dawn"`}, driverLeaks(t, "driver_bad.go", bad, names))
}

// A driver is in the build by one file, and that file has nothing else in it.
func TestDriverFiles(t *testing.T) {
	files, err := filepath.Glob("driver_*.go")
	require.NoError(t, err)
	require.Len(t, files, len(gpu.Backends())) // with driver_browser.go, which is not built here, and without auto
	for _, file := range files {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		parsed, err := parser.ParseFile(token.NewFileSet(), file, source, 0)
		require.NoError(t, err)
		require.Len(t, parsed.Decls, 1, file)
		require.Len(t, parsed.Imports, 1, file)
		require.Equal(t, "_", parsed.Imports[0].Name.Name, file)
	}
}
