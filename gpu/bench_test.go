package gpu_test

import (
	"testing"

	"bitnet/gpu"
)

func check(b *testing.B, err error) {
	if err != nil {
		b.Helper()
		b.Fatal(err)
	}
}

// One dispatch of nothing to do, and a wait for it.
func BenchmarkRunAndWait(b *testing.B) {
	d := open(b)
	p := steps(b, d, newBuffer(b, d, "x", 4), 1)
	b.ReportAllocs()
	for b.Loop() {
		check(b, p.Run())
		check(b, d.Wait())
	}
}

// A program of 1,000 dispatches of nothing to do: time per dispatch.
func BenchmarkDispatch(b *testing.B) {
	d := open(b)
	p := steps(b, d, newBuffer(b, d, "x", 4), 1000)
	b.ReportAllocs()
	for b.Loop() {
		check(b, p.Run())
	}
	check(b, d.Wait())
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/dispatch")
}

func BenchmarkWrite1KiB(b *testing.B) {
	d := open(b)
	x := newBuffer(b, d, "x", 1024)
	p := steps(b, d, newBuffer(b, d, "y", 4), 1)
	data := make([]byte, 1024)
	b.ReportAllocs()
	b.SetBytes(1024)
	n := 0
	for b.Loop() {
		check(b, x.Write(0, data))
		if n++; n%100 == 0 {
			check(b, p.Run())
		}
	}
	check(b, d.Wait())
}

func BenchmarkRead4Bytes(b *testing.B) {
	d := open(b)
	x := newBuffer(b, d, "x", 4)
	data := make([]byte, 4)
	b.ReportAllocs()
	for b.Loop() {
		check(b, x.Read(0, data))
	}
}

func BenchmarkTransfer64MiB(b *testing.B) {
	d := open(b)
	x := newBuffer(b, d, "x", 64<<20)
	data := make([]byte, 64<<20)
	for name, transfer := range map[string]func(int64, []byte) error{"write": x.Write, "read": x.Read} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(64 << 20)
			for b.Loop() {
				check(b, transfer(0, data))
				check(b, d.Wait())
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	d := open(b)
	source := []byte(saxpy + "// 0000000000")
	for b.Loop() {
		for i := len(source) - 1; ; i-- {
			if source[i]++; source[i] <= '9' {
				break
			}
			source[i] = '0'
		}
		_, err := d.Kernel("saxpy", string(source), gpu.Read, gpu.Read, gpu.ReadWrite)
		check(b, err)
	}
}
