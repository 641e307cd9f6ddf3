package runs

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// writeMetrics writes n lines as training would, every step one, with the
// ternary shares on every 1,000th, and a spike of the loss at spike.
func writeMetrics(w io.Writer, n, spike int) error {
	b := bufio.NewWriterSize(w, 1<<20)
	for step := 1; step <= n; step++ {
		x := float64(step)
		noise := math.Mod(x*0.6180339887498949, 1) - 0.5
		loss := 1 + 2/math.Sqrt(x/1000+1) + noise/10
		if step == spike {
			loss = 50
		}
		fmt.Fprintf(b, `{"step":%d,"loss":%v,"loss_mean":%v,"lr":%v,"wd":0.1,"grad_norm":%v,"step_time_ms":%v,"tokens_per_sec":%v,"tokens_seen":%d,"device_memory_bytes":215986688`,
			step, loss, loss+noise/100, 0.0015*(1-x/float64(n)), 1+noise/3, 139.32011129999998+noise, 3674.989886402711+noise, 512*step)
		if step%1000 == 0 {
			b.WriteString(`,"ternary":{`)
			for l := range 4 {
				for i, name := range []string{"q", "k", "v", "o"} {
					if l+i > 0 {
						b.WriteByte(',')
					}
					fmt.Fprintf(b, `"model.layers.%d.self_attn.%s_proj.weight":[%v,%v,%v]`, l, name, 0.3+noise/100, 0.4-noise/50, 0.3+noise/100)
				}
			}
			b.WriteByte('}')
		}
		b.WriteString("}\n")
	}
	return b.Flush()
}

// BENCH_LINES (1,000,000) lines in BENCH_DIR/logs/metrics.jsonl, which stay for
// bitnet status and bitnet plot if BENCH_DIR is set.
func BenchmarkReadCurves(b *testing.B) {
	lines := 1_000_000
	if s := os.Getenv("BENCH_LINES"); s != "" {
		var err error
		lines, err = strconv.Atoi(s)
		require.NoError(b, err)
	}
	dir := os.Getenv("BENCH_DIR")
	if dir == "" {
		dir = b.TempDir()
	}
	path := filepath.Join(dir, "logs", "metrics.jsonl")
	if _, err := os.Stat(path); err != nil {
		require.NoError(b, os.MkdirAll(filepath.Dir(path), 0o755))
		f, err := os.Create(path)
		require.NoError(b, err)
		require.NoError(b, writeMetrics(f, lines, lines/3))
		require.NoError(b, f.Close())
	}
	info, err := os.Stat(path)
	require.NoError(b, err)
	b.SetBytes(info.Size())
	b.ReportAllocs()
	for b.Loop() {
		c, err := ReadCurves(path, 0, 0, 2000, LossMean, GradNorm, LR, TokensPerSec)
		require.NoError(b, err)
		require.EqualValues(b, lines, c.Lines)
		require.Zero(b, c.Bad)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(lines), "ns/line")
}
