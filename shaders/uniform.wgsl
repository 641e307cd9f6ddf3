{{define "uniform"}}
// The uniform table, table[i] = i: see gpu.UniformTable. Each function returns x, which must be the same in all
// invocations of a workgroup, and proves that to lavapipe's compiler. The compiler knows it of constants and push
// constants only; the second lookup shows it that the result of the first is a scalar.
var<push_constant> table: array<u32, 64>;
fn uniform1(x: u32) -> u32 { return table[table[x & 63u]]; }
fn uniform2(x: u32) -> u32 { return uniform1(x) + 64u * uniform1(x >> 6u); }
fn uniform3(x: u32) -> u32 { return uniform2(x) + 4096u * uniform1(x >> 12u); }

// often returns n in a way that the compiler cannot see through, so that it does not unroll a loop up to n.
// Loads and stores whose addresses differ between lanes take a lot of code, and time to compile, for each copy.
fn often(n: u32) -> u32 { return n * table[1]; }
{{end}}
