// Matrix product for a few rows of a, as when text is generated token by token. Its time is that of reading b, so b is
// read once and in order:
{{template "formula" .}}
// {{.Lanes}} lanes share a column and go through its words together.
{{- $rows := seq .M}}{{$ternary := .B.Ternary}}
const M = {{.M}}u;
const N = {{.N}}u;
const WORDS = {{.Words}}u; // of a row of b
const LANES = {{.Lanes}}u;
const COLS = {{.Cols}}u; // a workgroup
{{template "bindings" .}}
var<workgroup> sums: array<{{if $ternary}}i32{{else}}f32{{end}}, {{mul .M (mul .Lanes .Cols)}}>;
{{- if $ternary}}
{{template "signed_codes"}}
{{- end}}
@compute @workgroup_size({{mul .Lanes .Cols}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let n = (group.x + group.y * groups.x) * COLS + local / LANES;
	let lane = local % LANES;
	let column = min(n, N - 1u) * WORDS;
{{- range $m := $rows}}
	var s{{$m}} = {{if $ternary}}0{{else}}0.0{{end}};
{{- end}}
	for (var k = lane; k < WORDS; k += LANES) {
{{- if $ternary}}
		let word = signed_codes(b[column + k]);
	{{- range $k := seq 16}}
		let w{{$k}} = i32(word << {{sub 30 (mul 2 $k)}}u) >> 30u;
	{{- end}}
	{{- range $m := $rows}}
		{
			let x = a[{{$m}}u * WORDS + k];
		{{- range $k := seq 16}}
			s{{$m}} += (i32(x{{component 4 (div $k 4)}} << {{sub 24 (mul 8 (mod $k 4))}}u) >> 24u) * w{{$k}};
		{{- end}}
		}
	{{- end}}
{{- else}}
	{{- if .B.Int8}}
		let w = vec4<f32>(vec4<i32>(vec4<u32>(b[column + k]) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u));
	{{- else}}
		let w = b[column + k];
	{{- end}}
	{{- range $m := $rows}}
		s{{$m}} += dot(a[{{$m}}u * WORDS + k], w);
	{{- end}}
{{- end}}
	}
{{- range $m := $rows}}
	sums[{{$m}}u * COLS * LANES + local] = s{{$m}};
{{- end}}
	workgroupBarrier();
	for (var half = LANES / 2u; half > 0u; half /= 2u) {
		if (lane < half) {
{{- range $m := $rows}}
			sums[{{$m}}u * COLS * LANES + local] += sums[{{$m}}u * COLS * LANES + local + half];
{{- end}}
		}
		workgroupBarrier();
	}
	if (lane > 0u) { return; }
{{- range $m := $rows}}
	s{{$m}} = sums[{{$m}}u * COLS * LANES + local];
{{- end}}
	if (n >= N) { return; }
{{- range $m := $rows}}
	c[{{$m}}u * N + n] = f32(s{{$m}}){{if $.RowScale}} * rows[{{$m}}]{{end}}{{if $.ColScale}} * cols[n]{{end}}{{if $.Residual}} + residual[{{$m}}u * N + n]{{end}};
{{- end}}
}
