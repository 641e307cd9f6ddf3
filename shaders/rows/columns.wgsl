{{if .Take -}}
// Some columns of a matrix, scaled: part[t, c] = s y[t, at + c]
//   y [T, Of] -> part [T, W]
{{- else -}}
// Adding to some columns of a matrix: y[t, at + c] += s part[t, c]
//   part [T, W] -> y [T, Of]
{{- end}}; one invocation {{if eq .Each 4}}four elements{{else}}an element{{end}}
const T = {{.Rows}}u;
const W = {{div .Width .Each}}u;
const OF = {{div .Of .Each}}u;
const AT = {{div .At .Each}}u;
const S = {{f32 .Factor}};
{{template "vector" .}}
{{- if .Take}}
{{read "y: array<V>"}}
{{write "part: array<V>"}}
{{- else}}
{{read "part: array<V>"}}
{{write "y: array<V>"}}
{{- end}}
{{template "index" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
	let i = index(id, groups);
	if (i >= T * W) { return; }
	let j = i / W * OF + AT + i % W;
{{- if .Take}}
	part[i] = S * y[j];
{{- else}}
	y[j] += S * part[i];
{{- end}}
}
