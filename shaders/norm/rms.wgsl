// RMSNorm: y[t, h] = x[t, h] * w[h] / sqrt(mean_h x[t, h]^2 + eps)
{{- if .Gated}}
//   of a gated activation x[t, h] = act(gu[t, h]) gu[t, H + h], which is not stored, {{template "act" .}}
//   gu [T, 2H] (gate, then up)
{{- else}}
//   x [T, H]
{{- end}}, w [H] -> rstd [T] (the reciprocal root, for the gradient), and
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

{{read "%s: array<%s>" .Input .Four}}
{{read "w: array<%s>" .Four}}
{{write "rstd: array<f32>"}}
{{- if .Quantize}}
{{write "q: array<u32>"}}
{{write "scale: array<f32>"}}
{{- else}}
{{write "y: array<%s>" .Four}}
{{- end}}
{{template "reduce" .}}
{{template "row" .}}
{{template "normed" .}}
{{template "load4" .Array "w"}}
{{template "weight" .}}
{{- if not .Quantize}}
{{template "put4" .Array "y"}}
{{- end}}
fn value(row: u32, c: u32, r: f32) -> vec4<f32> { return weight(c) * (normed(row, c) * r); }

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
		let v = normed(row, c);
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
{{- template "codes" .}}
{{- else}}
	for (var c = lane; c < words; c += LANES) { put_y(row, c, value(row, c, r)); }
{{- end}}
}
