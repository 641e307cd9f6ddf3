package dawn

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"bitnet/gpu/driver"
)

// prove multiplies two small matrices in each shape that kernels use, and removes
// the shapes whose results are wrong or whose driver fails. Matrix units are an
// experimental feature: drivers disagree about the layout of int8 in memory, and
// some crash.
func prove(a *adapter) {
	var good []driver.MatrixShape
	var d driver.Device
	for _, s := range a.Matrices {
		if !used(s) {
			good = append(good, s)
			continue
		}
		var err error
		if d == nil {
			if d, err = open(*a); err != nil {
				continue
			}
		}
		if err = multiply(d, *a, s); err == nil {
			good = append(good, s)
			continue
		}
		// The next shape gets a new device, whatever happened to this one.
		d.Close()
		d = nil
	}
	if d != nil {
		d.Close()
	}
	a.Matrices = good
}

// used reports whether there are kernels for a shape's types.
func used(s driver.MatrixShape) bool {
	return s.Component == "i8" && s.Result == "i32" || s.Component == "f16" && s.Result == "f32"
}

// proofKernel multiplies a [M, K], stored by rows, by b [K, N], stored by columns. Both are in
// workgroup memory, with padded rows and an offset.
const proofKernel = `ENABLE
enable subgroups;
enable chromium_experimental_subgroup_matrix;
@group(0) @binding(0) var<storage, read_write> y: array<RESULT>;
var<workgroup> a: array<ELEMENT, FRONT + M * STRIDE>;
var<workgroup> b: array<ELEMENT, FRONT + N * STRIDE>;
fn value(row: u32, k: u32) -> i32 { return i32((row * 7u + k * 5u) % 15u) - 7; }
FILL
@compute @workgroup_size(LANES) SIZE
fn main(@builtin(local_invocation_index) local: u32) {
	for (var i = local; i < M * WIDTH; i += LANES) { a[FRONT + i / WIDTH * STRIDE + i % WIDTH] = fill(i / WIDTH, i % WIDTH); }
	for (var i = local; i < N * WIDTH; i += LANES) { b[FRONT + i / WIDTH * STRIDE + i % WIDTH] = fill(i / WIDTH + 3u, i % WIDTH); }
	workgroupBarrier();
	let left = subgroupMatrixLoad<subgroup_matrix_left<COMPONENT, K, M>, row_major>(&a, FRONT, STRIDE);
	let right = subgroupMatrixLoad<subgroup_matrix_right<COMPONENT, N, K>, col_major>(&b, FRONT, STRIDE);
	var sums: subgroup_matrix_result<RESULT, N, M>;
	sums = subgroupMatrixMultiplyAccumulate(left, right, sums);
	sums = subgroupMatrixMultiplyAccumulate(left, right, sums);
	subgroupMatrixStore<row_major>(&y, 0u, sums, N);
}
`

const (
	fillF16 = "fn fill(row: u32, at: u32) -> f16 { return f16(value(row, at)); }"
	fillI8  = `fn fill(row: u32, at: u32) -> i32 {
	var v = 0u;
	for (var i = 0u; i < 4u; i++) { v |= (u32(value(row, 4u * at + i)) & 0xffu) << (8u * i); }
	return bitcast<i32>(v);
}`
)

func proofValue(row, k int) int { return (row*7+k*5)%15 - 7 }

func proofSource(a adapter, s driver.MatrixShape) string {
	enable, element, fill, width, front := "enable f16;", "f16", fillF16, s.K, 8
	if s.Component == "i8" {
		enable, element, fill, width, front = "", "i32", fillI8, s.K/4, 4
	}
	size := ""
	if a.SubgroupMin != a.SubgroupMax {
		enable += " enable subgroup_size_control;"
		size = fmt.Sprintf("@subgroup_size(%d)", a.SubgroupMax)
	}
	code := proofKernel
	for _, word := range []struct {
		name  string
		value any
	}{
		{"ENABLE", enable}, {"ELEMENT", element}, {"FILL", fill}, {"COMPONENT", s.Component}, {"RESULT", s.Result}, {"SIZE", size},
		{"LANES", a.SubgroupMax}, {"FRONT", front}, {"STRIDE", width + front}, {"WIDTH", width},
	} {
		v := fmt.Sprint(word.value)
		if _, number := word.value.(int); number {
			v += "u"
		}
		code = strings.ReplaceAll(code, word.name, v)
	}
	return fmt.Sprintf("%s\nconst M = %du;\nconst N = %du;\nconst K = %du;\n", code, s.M, s.N, s.K)
}

func multiply(d driver.Device, a adapter, s driver.MatrixShape) error {
	y, err := d.CreateBuffer("proof", int64(4*s.M*s.N))
	if err != nil {
		return err
	}
	defer d.DestroyBuffer(y)
	k, err := d.CreateKernel("proof", proofSource(a, s), []driver.Access{driver.ReadWrite})
	if err != nil {
		return err
	}
	p, err := d.CreateProgram("proof", []driver.Dispatch{{Kernel: k, Bindings: []driver.Binding{{Buffer: y}}, Groups: [3]uint32{1, 1, 1}}})
	if err != nil {
		return err
	}
	defer d.DestroyProgram(p)
	if err := d.Run(p); err != nil {
		return err
	}
	got := make([]byte, 4*s.M*s.N)
	if err := d.Read(y, 0, got); err != nil {
		return err
	}
	for m := range s.M {
		for n := range s.N {
			want := 0
			for k := range s.K {
				want += 2 * proofValue(m, k) * proofValue(n+3, k)
			}
			bits := binary.LittleEndian.Uint32(got[4*(m*s.N+n):])
			value := int(int32(bits))
			if s.Result == "f32" {
				value = int(math.Float32frombits(bits))
			}
			if value != want {
				return fmt.Errorf("c[%d, %d] is %d, not %d", m, n, value, want)
			}
		}
	}
	return nil
}
