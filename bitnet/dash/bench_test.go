package dash

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkFirstCurve opens the page on a run of BENCH_LINES (1,000,000, and no
// fewer) lines of metrics, or on the run BENCH_DIR, which BenchmarkReadCurves of
// package runs leaves. The server knows nothing of the run yet. It tells how
// long the first look at the curves takes, and the whole of them.
func BenchmarkFirstCurve(b *testing.B) {
	root := b.TempDir()
	if dir := os.Getenv("BENCH_DIR"); dir != "" {
		require.NoError(b, os.Symlink(dir, filepath.Join(root, "long")))
	} else {
		lines := int64(1_000_000)
		if s := os.Getenv("BENCH_LINES"); s != "" {
			var err error
			lines, err = strconv.ParseInt(s, 10, 64)
			require.NoError(b, err)
		}
		const piece = 10_000
		writeRun(b, root, "long", 1, piece)
		for from := int64(piece); from < lines; from += piece {
			appendMetrics(b, filepath.Join(root, "long"), from+1, from+piece)
		}
	}
	var look, whole time.Duration
	for b.Loop() {
		s := httptest.NewServer(Handler(root))
		began := time.Now()
		next := listen(b, s, "run=long")
		require.NotEmpty(b, steps(next("series")))
		look += time.Since(began)
		require.NotEmpty(b, steps(next("series")))
		whole += time.Since(began)
		s.CloseClientConnections()
		s.Close()
	}
	b.ReportMetric(float64(look.Milliseconds())/float64(b.N), "ms-first")
	b.ReportMetric(float64(whole.Milliseconds())/float64(b.N), "ms-whole")
}
