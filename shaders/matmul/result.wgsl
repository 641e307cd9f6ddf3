{{define "formula"}}
{{- /* What a product computes, for the top of its file. */ -}}
//   c[m, n] = {{if .RowScale}}rows[m] {{end}}{{if .ColScale}}cols[n] {{end}}{{if .Alpha}}ALPHA {{end}}sum_k a(m, k) {{if .ScaleK}}scale[k] {{end}}b(k, n){{if .Residual}} + {{if .Beta}}BETA {{end}}residual[m, n]{{end}}{{if .Accumulate}} + c[m, n]{{end}}
//   a: {{.A}}
//   b: {{.B}}
//   a, b{{if .ScaleK}}, scale [K]{{end}}{{if .RowScale}}, rows [M]{{end}}{{if .ColScale}}, cols [N]{{end}}{{if .Residual}}, residual [M, N]{{end}} -> c [M, N]{{if .Batched}}; {{.Batch}} of each, one after another{{end}}
{{- end}}

{{define "shapes" -}}
const M = {{.M}}u;
const N = {{.N}}u;
const K = {{.K}}u;
{{- if .Alpha}}
const ALPHA = {{f32 .Alpha}};
{{- end}}
{{- if .Beta}}
const BETA = {{f32 .Beta}};
{{- end}}
{{- if .Batched}}
var<private> number: u32; // of this product in the batch
{{- end}}
{{- end}}

{{define "place"}}{{if .Batched}}(number * M + m){{else}}m{{end}}{{end}}

{{define "bindings" -}}
{{- /* Of every product: those of its operands, factors and residual that there are, and the result. */ -}}
{{read "a: array<%s>" .AType}}
{{read "b: array<%s>" .BType}}
{{- if .ScaleK}}
{{read "scale: array<%s>" .FactorType}}
{{- end}}
{{- if .RowScale}}
{{read "rows: array<f32>"}}
{{- end}}
{{- if .ColScale}}
{{read "cols: array<%s>" .FactorType}}
{{- end}}
{{- if .Residual}}
{{read "residual: array<%s>" .OutType}}
{{- end}}
{{write "c: array<%s>" .OutType}}
{{- end}}

{{define "store4" -}}
{{- /* Writes four neighbours of the result, with factors and residual. */ -}}
fn inside(m: u32, n: u32) -> bool { return {{if .CheckM}}m < M{{else}}true{{end}}{{if .CheckN}} && n < N{{end}}; }
{{if .OddN}}
// Writes four neighbours of row m of the result.
fn store(m: u32, n: u32, sum: vec4<f32>) {
	if (!inside(m, n)) { return; }
	var v = sum;
{{- if .Alpha}}
	v *= ALPHA;
{{- end}}
{{- if .RowScale}}
	v *= rows[m];
{{- end}}
	for (var i = 0u; i < {{if .Shared}}4u{{else}}often(4u){{end}}; i++) {
		if (n + i >= N) { return; }
		{{if .ColScale}}v[i] *= cols[n + i];{{end}}
		{{if .Residual}}v[i] += {{if .Beta}}BETA * {{end}}residual[{{template "place" .}} * N + n + i];{{end}}
		c[{{template "place" .}} * N + n + i] {{if .Accumulate}}+{{end}}= v[i];
	}
}
{{- else}}
// Four neighbours of row m of the result, from their sums.
fn result(m: u32, n: u32, sum: vec4<f32>) -> vec4<f32> {
	var v = sum;
{{- if .Alpha}}
	v *= ALPHA;
{{- end}}
{{- if .RowScale}}
	v *= rows[m];
{{- end}}
{{- if .ColScale}}
	v *= vec4<f32>(cols[n], cols[n + 1u], cols[n + 2u], cols[n + 3u]);
{{- end}}
{{- if .Residual}}
	v += {{if .Beta}}BETA * {{end}}residual[({{template "place" .}} * N + n) / 4u];
{{- end}}
{{- if .Accumulate}}
	v += c[({{template "place" .}} * N + n) / 4u];
{{- end}}
	return v;
}

fn store(m: u32, n: u32, sum: vec4<f32>) {
	if (inside(m, n)) { c[({{template "place" .}} * N + n) / 4u] = result(m, n, sum); }
}
{{- end}}
{{end}}
