{{define "table parts"}}
{{template "shapes" .}}
const ROWS = {{.Rows}}u; // of sums, an invocation
const COLS = {{.Cols}}u;
{{template "bindings" .}}
{{template "uniform"}}
// Writes four neighbours of row m of the result; m is uniform.
fn store(m: u32, n: u32, sum: vec4<f32>) {
	var v = sum;
{{- if .Alpha}}
	v *= ALPHA;
{{- end}}
{{- if .RowScale}}
	v *= rows[m];
{{- end}}
{{- if .ColScale}}
	v *= cols[n / 4u];
{{- end}}
{{- if .Residual}}
	v += {{if .Beta}}BETA * {{end}}residual[({{template "place" .}} * N + n) / 4u];
{{- end}}
{{- template "diagonal" .}}
	c[({{template "place" .}} * N + n) / 4u] {{if .Accumulate}}+{{end}}= v;
}
{{- template "mirror" .}}
{{template "signed_codes"}}
{{end -}}
