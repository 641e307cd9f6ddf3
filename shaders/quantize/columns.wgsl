// Per-column int8 quantisation of y[t, n] = x[t, n] f[t]: q[t, n] = clamp(round(y[t, n] / scale[n]), -127, 127)
//   x [T, N], f [T], scale [N] -> q {{if .Float}}[T, N] f32{{else}}[T, ceil(N/4)] u32, four int8 a word, zero past N{{end}}; one invocation {{if .Float}}an element{{else}}a word{{end}}
const T = {{.Tokens}}u;
const N = {{.Width}}u;
const PER = {{.Per}}u; // invocations a row

{{read "x: array<f32>"}}
{{read "f: array<f32>"}}
{{read "scale: array<f32>"}}
{{if .Float}}{{write "q: array<f32>"}}{{else}}{{write "q: array<u32>"}}{{end}}
{{template "index" .}}
fn code(t: u32, n: u32) -> f32 { return clamp(round(x[t * N + n] * f[t] / scale[n]), -127.0, 127.0); }

@compute @workgroup_size({{.Threads}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
	let i = index(id, groups);
	if (i >= T * PER) { return; }
{{- if .Float}}
	q[i] = code(i / N, i % N);
{{- else}}
	let t = i / PER;
	let n = 4u * (i % PER);
	var word = 0u;
	for (var j = 0u; j < 4u; j++) {
		if (n + j < N) { word |= (u32(i32(code(t, n + j))) & 255u) << (8u * j); }
	}
	q[i] = word;
{{- end}}
}
