package gpu

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A name that is dropped is replaced everywhere, or the kernel is refused.
func TestRename(t *testing.T) {
	const head = "@group(0) @binding(0) var<storage, read_write> a: array<f32>;\n@group(0) @binding(1) var<storage, read_write> b: array<f32>;\n"
	got, err := rename(head+"fn f() -> f32 { return a[0] + b[1] * ab[2] + b[u32(b[v.b])] + f32(arrayLength(&b)); } // b, too", 1, 0)
	require.NoError(t, err)
	require.Equal(t, "@group(0) @binding(0) var<storage, read_write> a: array<f32>;\n\nfn f() -> f32 { return a[0] + a[1] * ab[2] + a[u32(a[v.b])] + f32(arrayLength(&a)); } ", got)
	for name, row := range map[string][2]string{
		"a variable of the same name": {head + "fn f() { var b = 1; }", "only as b[i] and &b"},
		"a local of the other name":   {head + "fn f() { let a = 1; }", "call nothing else a"},
		"a parameter of that name":    {head + "fn f(i: u32, a : f32) {}", "call nothing else a"},
		"another type":                {head[:len(head)-len("f32>;\n")] + "u32>;\n", "different types"},
		"no such binding":             {head[:10], "different types"},
	} {
		_, err := rename(row[0], 1, 0)
		require.ErrorContains(t, err, row[1], name)
	}
}
