{{define "quantize" -}}
{{- /* Codes and scale of a row, of which an invocation's largest magnitude is m. */ -}}
	let absmax = max(largest(lane, m), {{f32 .Floor}});
	let s = 127.0 / absmax;
	if (lane == 0u) { scale[row] = absmax / 127.0; }
	for (var c = lane; c < words; c += LANES) {
		let v = vec4<i32>(clamp(round(value(row, c, r) * s), vec4<f32>(-128.0), vec4<f32>(127.0)));
		let b = vec4<u32>(v) & vec4<u32>(255u);
		q[row * WORDS + c] = b.x | (b.y << 8u) | (b.z << 16u) | (b.w << 24u);
	}
{{end -}}
// Per-token absmax int8 quantisation (BitNet b1.58){{if .Factor}} of y[t, h] = x[t, h] w[h]{{end}}: s = 127 / max(max_h |{{if .Factor}}y{{else}}x{{end}}|, {{f32 .Floor}}),
// q = clamp(round({{if .Factor}}y{{else}}x{{end}} s), -128, 127), round half to even.
//   x [T, H]{{if .Factor}}, w [H]{{end}} -> q [T, ceil(H/4)] u32, four int8 a word, zero past H; scale [T] = 1 / s
const T = {{.Tokens}}u;
const H = {{.Width}}u;
const WORDS = (H + 3u) / 4u;

@group(0) @binding(0) var<storage, read> x: array<{{if .Odd}}f32{{else}}vec4<f32>{{end}}>;
{{- if .Factor}}
@group(0) @binding(1) var<storage, read> w: array<{{if .Odd}}f32{{else}}vec4<f32>{{end}}>;
@group(0) @binding(2) var<storage, read_write> q: array<u32>;
@group(0) @binding(3) var<storage, read_write> scale: array<f32>;
{{- else}}
@group(0) @binding(1) var<storage, read_write> q: array<u32>;
@group(0) @binding(2) var<storage, read_write> scale: array<f32>;
{{- end}}
{{template "reduce" .}}
{{template "row" .}}
{{template "load4" .Array "x"}}
{{- if .Factor}}
{{template "load4" .Array "w"}}
{{template "weight" .}}
{{- end}}
fn value(row: u32, c: u32, r: f32) -> vec4<f32> { return load_x(row, c) * {{if .Factor}}weight(c){{else}}r{{end}}; }

@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let row = row_of(group, groups, local);
	if (row >= T) { return; }
	let lane = local % LANES;
	let words = rolled(WORDS, row);
	let r = 1.0;
	var m = 0.0;
	for (var c = lane; c < words; c += LANES) {
		let v = abs(value(row, c, r));
		m = max(m, max(max(v.x, v.y), max(v.z, v.w)));
	}
{{template "quantize" .}}
}
