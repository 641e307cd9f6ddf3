// How fast an adapter {{if .Copy}}copies{{else}}reads{{end}} {{.Vectors}} vectors of 16 bytes, with the layout "{{.Layout}}".
//   x -> {{if .Copy}}y = x{{else}}y[0], only if a sum has a value that it hardly can have{{end}}
{{read "x: array<vec4<u32>>"}}
{{write "y: array<vec4<u32>>"}}
{{- if .Uniform}}
{{template "uniform"}}
{{- end}}

@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
{{- if .Uniform}}
	let first = uniform{{digits .Groups}}(group.x) * {{.PerGroup}}u;
{{- else if .Runs}}
	let first = group.x * {{.PerGroup}}u + local * {{mul .Unroll .Rounds}}u;
{{- else}}
	let first = group.x * {{.PerGroup}}u + local;
{{- end}}
	var sum = vec4<u32>();
	for (var i = 0u; i < {{.Rounds}}u; i++) {
{{- if .Uniform}}
		let at = first + {{.Unroll}}u * uniform{{digits .Rounds}}(i);
{{- else}}
		let at = first + i * {{mul .Unroll .Stride}}u;
{{- end}}
{{- range $j := seq .Unroll}}
	{{- if $.Copy}}
		y[at + {{mul $j $.Stride}}u] = x[at + {{mul $j $.Stride}}u];
	{{- else}}
		sum ^= x[at + {{mul $j $.Stride}}u];
	{{- end}}
{{- end}}
	}
{{- if not .Copy}}
	if (all(sum == vec4<u32>(0x12345678u))) { y[0] = sum; }
{{- end}}
}
