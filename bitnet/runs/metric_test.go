package runs

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTable(t *testing.T) {
	unique := map[string]Key{}
	for _, k := range Keys() {
		m := k.Metric()
		require.NotEmpty(t, m.Name)
		require.NotEmpty(t, m.Title, m.Name)
		require.NotEmpty(t, m.Format, m.Name)
		require.NotEmpty(t, m.Tag, m.Name)
		require.Equal(t, m.Status.Label == "", m.Status.Text == "", m.Name)
		if m.Status.Text != "" {
			require.Equal(t, 1, strings.Count(m.Status.Text, "%s"), m.Name)
		}
		for _, s := range []string{"name " + m.Name, "title " + m.Title, "tag " + m.Tag} {
			require.NotContains(t, unique, s)
			unique[s] = k
		}
		require.Equal(t, k, keyOf([]byte(k.String())))
	}
	drawn := 0
	for _, c := range Charts() {
		for _, k := range c.Keys {
			require.Equal(t, c.Title, k.Metric().Panel.Title)
			drawn++
		}
	}
	for _, k := range Keys() {
		if k.Metric().Panel.Title != "" {
			drawn--
		}
	}
	require.Zero(t, drawn, "every metric with a panel is in a chart")
}

// Only the table names a metric: what reads runs, shows them and draws them
// takes keys, titles and tags from there. A new metric is then a constant, a
// row, and the place that measures it.
func TestMetricsAreNamedOnce(t *testing.T) {
	const project = "../.."
	var goFiles, jsFiles []string
	for _, pattern := range []string{"bitnet/runs/*.go", "bitnet/runs/*/*.go", "bitnet/dash/*.go", "cmd/bitnet/status*.go", "cmd/bitnet/plot*.go", "cmd/bitnet/dash*.go"} {
		list, err := filepath.Glob(filepath.Join(project, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, list, pattern)
		goFiles = append(goFiles, list...)
	}
	// The rest of cmd/web/page reads fields of the messages of cmd/web/protocol.go,
	// some of which are called like metrics.
	for _, pattern := range []string{"bitnet/dash/page/*", "bitnet/page/shared/*", "cmd/web/page/runcharts.js"} {
		list, err := filepath.Glob(filepath.Join(project, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, list, pattern)
		jsFiles = append(jsFiles, list...)
	}
	require.Greater(t, len(jsFiles), 10)

	names, titles, tags := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, k := range Keys() {
		m := k.Metric()
		names[m.Name], titles[m.Title], tags[m.Tag] = true, true, true
	}
	for _, path := range goFiles {
		if strings.HasSuffix(path, "_test.go") || filepath.Base(path) == "metric.go" {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			if f, ok := n.(*ast.Field); ok && f.Tag != nil {
				f.Tag = nil // the keys of other records
			}
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				text, err := strconv.Unquote(lit.Value)
				require.NoError(t, err)
				require.False(t, names[text] || titles[text] || tags[text], "%s names the metric %q: take it from the table in metric.go", path, text)
			}
			return true
		})
	}
	quoted := regexp.MustCompile("'[^'\n]*'|\"[^\"\n]*\"|`[^`]*`")
	for _, path := range jsFiles {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for name := range names {
			if strings.Contains(name, "_") { // a key that is no English word
				require.NotContains(t, string(text), name, path)
			}
			require.NotRegexp(t, `\.`+name+`\b`, string(text), path)
		}
		for _, literal := range quoted.FindAllString(string(text), -1) {
			inner := literal[1 : len(literal)-1]
			require.False(t, names[inner] || titles[inner], "%s names the metric %s: the server's schema has it", path, literal)
		}
	}
}

func TestMetricsJSON(t *testing.T) {
	m := Metrics{Step: 3}
	m.Set(TokensSeen, 215986688)
	m.Set(Loss, 1.25)
	m.Set(LR, 1e-7)
	text, err := m.MarshalJSON()
	require.NoError(t, err)
	require.Equal(t, `{"step":3,"loss":1.25,"lr":1e-7,"tokens_seen":215986688}`, string(text))
	for _, k := range Keys() {
		m.Set(k, float64(k)+0.5)
	}
	m.Ternary = map[string][3]float64{"a": {0.25, 0.5, 0.25}}
	text, err = m.MarshalJSON()
	require.NoError(t, err)
	var got Metrics
	require.NoError(t, json.Unmarshal(text, &got))
	require.Equal(t, m, got)
	require.Error(t, json.Unmarshal([]byte(`{"loss":1}`), &got))
}
