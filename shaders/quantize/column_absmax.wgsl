// Largest magnitude of each column of y[t, n] = x[t, n] f[t], in blocks of rows:
//   x [T, N], f [T] -> part [ceil(T/{{.Block}}), N]; one invocation a (block, column)
const T = {{.Tokens}}u;
const N = {{.Width}}u;
const BLOCK = {{.Block}}u;
const BLOCKS = (T + BLOCK - 1u) / BLOCK;

{{read "x: array<f32>"}}
{{read "f: array<f32>"}}
{{write "part: array<f32>"}}
{{template "index" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
	let i = index(id, groups);
	if (i >= BLOCKS * N) { return; }
	let first = (i / N) * BLOCK;
	let n = i % N;
	var m = 0.0;
	for (var t = first; t < min(first + BLOCK, T); t++) { m = max(m, abs(x[t * N + n] * f[t])); }
	part[i] = m;
}
