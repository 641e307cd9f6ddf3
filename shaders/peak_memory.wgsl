// How fast an adapter {{if .Copy}}copies{{else}}reads{{end}} [{{.Words4}}] vectors of 16 bytes, laid out in {{.Layout}}.
@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<u32>>;
{{- if .Uniform}}
{{template "table"}}
{{- end}}

@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
{{- if .Uniform}}
	let first = {{un .Groups "group.x"}} * {{.PerGroup}}u;
{{- else if .Runs}}
	let first = group.x * {{.PerGroup}}u + local * {{mul .Unroll .Rounds}}u;
{{- else}}
	let first = group.x * {{.PerGroup}}u + local;
{{- end}}
	var sum = vec4<u32>();
	for (var i = 0u; i < {{.Rounds}}u; i++) {
{{- $top := .}}
{{- if .Uniform}}
		let at = first + {{.Unroll}}u * {{un .Rounds "i"}};
{{- else}}
		let at = first + i * {{mul .Unroll .Stride}}u;
{{- end}}
{{- range $j := seq .Unroll}}
	{{- if $top.Copy}}
		y[at + {{mul $j $top.Stride}}u] = x[at + {{mul $j $top.Stride}}u];
	{{- else}}
		sum ^= x[at + {{mul $j $top.Stride}}u];
	{{- end}}
{{- end}}
	}
{{- if not .Copy}}
	if (all(sum == vec4<u32>(0x12345678u))) { y[0] = sum; }
{{- end}}
}
