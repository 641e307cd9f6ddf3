// Absmax int8 quantisation by row (BitNet b1.58){{if .Factor}} of y[t, h] = x[t, h] w[h]{{end}}: s = 127 / max(max_h |{{if .Factor}}y{{else}}x{{end}}|, {{f32 .Floor}}),
// q = clamp(round({{if .Factor}}y{{else}}x{{end}} s), -128, 127), round half to even.
//   x [T, H]{{if .Factor}}, w [H]{{end}} -> q [T, ceil(H/4)] u32, four int8 a word, zero past H; scale [T] = 1 / s
const T = {{.Tokens}}u;
const H = {{.Width}}u;
const WORDS = (H + 3u) / 4u;

{{read "x: array<%s>" .Four}}
{{- if .Factor}}
{{read "w: array<%s>" .Four}}
{{- end}}
{{write "q: array<u32>"}}
{{write "scale: array<f32>"}}
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
{{- template "codes" .}}
}
