// RMSNorm: y[t, h] = x[t, h] * w[h] / sqrt(mean_h x[t, h]^2 + eps)
//   x [T, H], w [H] -> rstd [T] (the reciprocal root, for the gradient), and
{{- if .Quantize}}
// per-token absmax int8 quantisation of y (BitNet b1.58): s = 127 / max(absmax_h |y|, 1e-5),
// q = clamp(round(y s), -128, 127), round half to even:
//   q [T, ceil(H/4)] u32, four int8 a word, zero past H; scale [T] = 1 / s
{{- else}}
//   y [T, H]
{{- end}}
const T = {{.Tokens}}u;
const H = {{.Width}}u;
const WORDS = (H + 3u) / 4u;
const EPS = {{f32 .Eps}};

@group(0) @binding(0) var<storage, read> x: array<{{if .Odd}}f32{{else}}vec4<f32>{{end}}>;
@group(0) @binding(1) var<storage, read> w: array<{{if .Odd}}f32{{else}}vec4<f32>{{end}}>;
@group(0) @binding(2) var<storage, read_write> rstd: array<f32>;
{{- if .Quantize}}
@group(0) @binding(3) var<storage, read_write> q: array<u32>;
@group(0) @binding(4) var<storage, read_write> scale: array<f32>;
{{- else}}
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
{{- end}}
{{template "reduce" .}}
{{template "row" .}}
{{template "load4" .Array "x"}}
{{template "load4" .Array "w"}}
{{template "weight" .}}
fn value(row: u32, c: u32, r: f32) -> vec4<f32> { return weight(c) * (load_x(row, c) * r); }

@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let row = row_of(group, groups, local);
	if (row >= T) { return; }
	let lane = local % LANES;
	let words = rolled(WORDS, row);

	var squares = 0.0;
{{- if .Quantize}}
	var m = 0.0;
{{- end}}
	for (var c = lane; c < words; c += LANES) {
		let v = load_x(row, c);
		squares += dot(v, v);
{{- if .Quantize}}
		let a = abs(weight(c) * v);
		m = max(m, max(max(a.x, a.y), max(a.z, a.w)));
{{- end}}
	}
	let r = 1.0 / sqrt(total(lane, squares) / f32(H) + EPS);
	if (lane == 0u) { rstd[row] = r; }
{{if .Quantize}}
	m *= r;
{{template "quantize" .}}{{- else}}
	for (var c = lane; c < words; c += LANES) {
		let v = value(row, c, r);
		for (var i = 0u; i < 4u; i++) {
			if (c * 4u + i < H) { y[row * H + c * 4u + i] = v[i]; }
		}
	}
{{- end}}
}
