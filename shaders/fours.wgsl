{{define "load4"}}
{{- /* Four neighbours of a row, with zeros past its end. Takes shaders.Columns. */ -}}
fn load_{{.Name}}(row: u32, c: u32) -> vec4<f32> {
{{- if .Odd}}
	var v = vec4<f32>();
	for (var i = 0u; i < 4u; i++) {
		if (c * 4u + i < {{.Width}}u) { v[i] = {{.From}}[row * {{.Stride}}u + {{.At}}u + c * 4u + i]; }
	}
	return v;
{{- else}}
	return {{.From}}[row * {{div .Stride 4}}u + {{div .At 4}}u + c];
{{- end}}
}
{{end}}

{{define "put4"}}
{{- /* Writes what load4 reads. */ -}}
fn put_{{.Name}}(row: u32, c: u32, v: vec4<f32>) {
{{- if .Odd}}
	for (var i = 0u; i < 4u; i++) {
		if (c * 4u + i < {{.Width}}u) { {{.From}}[row * {{.Stride}}u + {{.At}}u + c * 4u + i] {{if .Accumulate}}+{{end}}= v[i]; }
	}
{{- else}}
	{{.From}}[row * {{div .Stride 4}}u + {{div .At 4}}u + c] {{if .Accumulate}}+{{end}}= v;
{{- end}}
}
{{end}}

{{define "weight"}}
{{- /* Four weights of columns. Where each invocation of a workgroup has its own row, one load serves all. */ -}}
{{- if .Table}}{{template "uniform"}}{{end}}
fn weight(c: u32) -> vec4<f32> { return load_w(0u, {{if .Table}}uniform{{digits .Words}}(c){{else}}c{{end}}); }
{{end}}
