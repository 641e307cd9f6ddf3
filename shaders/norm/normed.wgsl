{{define "act"}}act = {{if .Relu2}}max(x, 0)^2{{else}}x / (1 + exp(-x)){{end}}{{end}}

{{define "normed"}}
{{- /* normed gives four values of what is normalised. */ -}}
{{- if .Gated}}
{{template "load4" .Gate}}
{{template "load4" .Up}}
fn normed(row: u32, c: u32) -> vec4<f32> {
	let g = load_gate(row, c);
{{- if .Relu2}}
	let a = max(g, vec4<f32>());
	return a * a * load_up(row, c);
{{- else}}
	return g / (vec4<f32>(1.0) + exp(-g)) * load_up(row, c);
{{- end}}
}
{{- else}}
{{template "load4" .Array "x"}}
fn normed(row: u32, c: u32) -> vec4<f32> { return load_x(row, c); }
{{- end}}
{{end}}
