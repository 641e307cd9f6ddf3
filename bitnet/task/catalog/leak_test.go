package catalog

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// commonWords are names of tasks that mean other things as well, so that only
// their form with a colon tells that a task is meant.
var commonWords = map[string]bool{"text": true, "tokens": true, "shards": true}

// leaks lists where the source of a file knows a task: by importing its folder,
// by comparing something with its name, or by its name with a colon.
func leaks(t *testing.T, path string, source any) []string {
	t.Helper()
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, path, source, 0)
	require.NoError(t, err)
	var found []string
	report := func(n ast.Node, what string) { found = append(found, files.Position(n.Pos()).String()+": "+what) }
	for _, i := range f.Imports {
		name, _ := strconv.Unquote(i.Path.Value)
		if rest, ok := strings.CutPrefix(name, "bitnet/bitnet/task/"); ok && rest != "catalog" {
			report(i, "imports "+name)
		}
	}
	literal := func(e ast.Expr) string {
		if l, ok := e.(*ast.BasicLit); ok && l.Kind == token.STRING {
			s, _ := strconv.Unquote(l.Value)
			return s
		}
		return ""
	}
	compared := func(n ast.Node, list ...ast.Expr) {
		for _, e := range list {
			for _, k := range Kinds() {
				if !commonWords[k.Name] && literal(e) == k.Name {
					report(n, "compares with "+k.Name)
				}
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if n.Op == token.EQL || n.Op == token.NEQ {
				compared(n, n.X, n.Y)
			}
		case *ast.CaseClause:
			compared(n, n.List...)
		case *ast.BasicLit:
			for _, k := range Kinds() {
				if literal(n) == k.Name+":" {
					report(n, "names "+k.Name+":")
				}
			}
		}
		return true
	})
	return found
}

// No package outside of task knows a task by its name: adding one touches its
// folder and the table. The web page has a board of tic-tac-toe to look at, and asks
// a model for its view of the squares: cmd/web is left out.
func TestNobodyKnowsATask(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	read := 0
	for _, dir := range []string{"bitnet", "cmd", "graph", "data"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && (path == filepath.Join(root, "bitnet", "task") || path == filepath.Join(root, "cmd", "web")) {
				return fs.SkipDir
			}
			if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				read++
				require.Empty(t, leaks(t, path, nil))
			}
			return nil
		})
		require.NoError(t, err)
	}
	require.Greater(t, read, 100)
}

// The test above sees what it looks for.
func TestLeaksAreSeen(t *testing.T) {
	for source, want := range map[string]int{
		`package p; import _ "bitnet/bitnet/task/arithmetic"`:                                         1,
		`package p; import _ "bitnet/bitnet/task/catalog"`:                                            0,
		`package p; func f(s string) bool { return s == "tictactoe" }`:                                1,
		`package p; func f(s string) { switch s { case "x", "arithmetic": } }`:                        1,
		`package p; import "strings"; func f(s string) bool { return strings.HasPrefix(s, "text:") }`: 1,
		`package p; func f(s string) bool { return s == "text" }`:                                     0,
		`package p; const help = "bitnet train --exp arithmetic"`:                                     0,
	} {
		require.Len(t, leaks(t, "p.go", source), want, source)
	}
}
