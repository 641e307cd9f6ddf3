package bitnet_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// layers are the packages from the bottom up: one may import those of the lines
// before its own. A folder stands for all packages below it that are not named.
var layers = [][]string{
	{"data/ctxio", "data/plainfile"},
	{"data/meter", "data/order", "data/printable", "data/atomicfile", "data/disk", "data/mapped", "gpu/driver", "shaders", "bitnet/suggest", "bitnet/cluster", "bitnet/page"},
	{"gpu/internal/wire"},
	{"data/tokenizer", "data/text", "data/hub", "gpu/wgpu", "gpu/dawn", "gpu/browser", "gpu/internal"},
	{"data", "gpu"},
	{"data/rows", "data/shard", "graph"},
	{"data/corpus", "graph/tune"},
	{"bitnet/runs"},
	{"bitnet/modelfile"},
	{"bitnet/model"},
	{"bitnet/infer"},
	{"bitnet/task"},
	{"bitnet/eval"},
	{"bitnet/train"},
	{"bitnet/export", "bitnet/sweep", "bitnet/swarm", "bitnet/card"},
	{"bitnet/bench", "bitnet/share"},
	{"bitnet/cost", "bitnet/doctor", "bitnet/dash", "bitnet/serve", "bitnet/web"},
	{"bitnet"},
	{"cmd"},
}

// layerOf is the number of a package's line and the folder there that holds it.
func layerOf(pkg string) (int, string) {
	best, line := "", -1
	for i, names := range layers {
		for _, name := range names {
			if (pkg == name || strings.HasPrefix(pkg, name+"/")) && len(name) > len(best) {
				best, line = name, i
			}
		}
	}
	return line, best
}

// No package imports upward: the map in doc.go is true. Each says what it is for.
func TestLayers(t *testing.T) {
	seen, documented := map[string]bool{}, map[string]bool{}
	for _, top := range []string{"bitnet", "cmd", "data", "gpu", "graph", "shaders"} {
		err := filepath.WalkDir(filepath.Join("..", top), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			pkg := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), ".."+string(filepath.Separator)))
			from, folder := layerOf(pkg)
			require.GreaterOrEqual(t, from, 0, "%s has no place in the layers", pkg)
			seen[folder] = true
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
			require.NoError(t, err)
			documented[pkg] = documented[pkg] || f.Doc != nil
			for _, i := range f.Imports {
				name, _ := strconv.Unquote(i.Path.Value)
				imported, ours := strings.CutPrefix(name, "bitnet/")
				if !ours {
					continue
				}
				to, other := layerOf(imported)
				if folder != other {
					require.Less(t, to, from, "%s imports %s, which is not below it", path, imported)
				}
			}
			return nil
		})
		require.NoError(t, err)
	}
	for pkg, doc := range documented {
		require.True(t, doc, "package %s has no comment that says what it is for", pkg)
	}
	for _, names := range layers {
		for _, name := range names {
			require.True(t, seen[name], "there is no package %s", name)
		}
	}
}
