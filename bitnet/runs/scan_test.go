package runs

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestScan(t *testing.T) {
	nan := math.NaN()
	for _, row := range []struct {
		line string
		ok   bool
		want map[Key]float64
	}{
		{`{"step":12,"loss":2.5,"lr":1e-3}`, true, map[Key]float64{stepKey: 12, Loss: 2.5, LR: 0.001}},
		{` { "lr" : 1.5E+2 , "step" : 7 , "note" : "a \"quoted\" word, {" , "list":[1,{"a":"]"}], "wd":-0.5 } `, true, map[Key]float64{stepKey: 7, LR: 150, WeightDecay: -0.5}},
		{`{"step":3,"loss":null,"loss_mean":NaN,"grad_norm":"Infinity"}`, true, map[Key]float64{stepKey: 3, Loss: nan, LossMean: nan, GradNorm: math.Inf(1)}},
		{`{"step":3,"loss":-Inf,"other":true}`, true, map[Key]float64{stepKey: 3, Loss: math.Inf(-1)}},
		{`{"ternary":{"a}b":[0.1,0.2,0.7]},"step":4}`, true, map[Key]float64{stepKey: 4}},
		{`{"ternary":{"a":[0.1,0.2,0.7],"b":[1,0,0]},"step":4}`, true, map[Key]float64{stepKey: 4}},
		{`{"step":1e400}`, true, map[Key]float64{stepKey: math.Inf(1)}},
		{`{"loss":1}`, false, nil},
		{`{}`, false, nil},
		{``, false, nil},
		{`[1]`, false, nil},
		{"\x00\x00\x00", false, nil},
		{`{"step":5,"loss":2.`, false, nil},
		{`{"step":5,"loss":2.5`, false, nil},
		{`{"step":5,"loss":}`, false, nil},
		{`{"step":5,"loss":abc}`, false, nil},
		{`{"step":5,"loss":1} {"step":6}`, false, nil},
		{`{"step":5,"ternary":{"a":[1,`, false, nil},
		{`{"step":5,"text":"\"}`, false, nil},
		{`{"step":5 "loss":1}`, false, nil},
	} {
		var v values
		require.Equal(t, row.ok, scan([]byte(row.line), &v), row.line)
		if !row.ok {
			continue
		}
		for k := range numKeys {
			want, there := row.want[k]
			require.Equal(t, there, v.has(k), "%s: %v", row.line, k)
			if there && !math.IsNaN(want) {
				require.Equal(t, want, v.num[k], "%s: %v", row.line, k)
			} else if there {
				require.True(t, math.IsNaN(v.num[k]), "%s: %v", row.line, k)
			}
		}
	}
}

// The order of keys that a line taught must not matter for the next.
func TestScanLearnsOrder(t *testing.T) {
	var v values
	for range 2 {
		for _, line := range []string{`{"step":1,"loss":2,"lr":3}`, `{"lr":3,"loss":2,"step":1}`, `{"loss":2,"ternary":{"a":[1,0,0]},"lr":3,"step":1}`} {
			require.True(t, scan([]byte(line), &v))
			require.Equal(t, []float64{1, 2, 3}, []float64{v.num[stepKey], v.num[Loss], v.num[LR]}, line)
		}
	}
}

func TestNumber(t *testing.T) {
	list := []string{"0", "-0", "1", "12", "123456789", "0.1", "0.12345678", "1.123456789", "3674.989886402711", "0.0014999998500000002",
		"123456789012345678901234567890", "0.00000000000000000000000000001234567890123", "1e22", "1e-22", "1e23", "1e308", "1e-320", "99999999.99999999",
		"18446744073709551615", "18446744073709551616.5", "0.30000000000000004", "5e-324", "1.7976931348623157e308"}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		x := math.Ldexp(r.Float64()-0.5, r.IntN(200)-100)
		for _, format := range []string{"%v", "%e", "%.8f", "%g", "%.3f"} {
			list = append(list, fmt.Sprintf(format, x))
		}
	}
	for _, s := range list {
		want, err := strconv.ParseFloat(s, 64)
		require.NoError(t, err)
		got, end, ok := number([]byte(s+","), 0)
		require.True(t, ok, s)
		require.Equal(t, len(s), end, s)
		require.InDelta(t, want, got, 4e-16*math.Abs(want), s)
	}
	for _, s := range []string{"", "-", ".5", "1e", "1e+", "-x"} {
		_, _, ok := number([]byte(s), 0)
		require.False(t, ok, s)
	}
}

func FuzzScan(f *testing.F) {
	f.Add([]byte(`{"step":12,"loss":2.5,"ternary":{"a":[1,2,3]}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		NewCurves(4).Add(line)
		parseMetrics(line)
		parseEval(line)
	})
}
