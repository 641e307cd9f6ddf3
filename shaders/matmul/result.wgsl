{{define "formula"}}
{{- /* What a product computes, for the top of its file. */ -}}
//   c[m, n] = {{if .RowScale}}rows[m] {{end}}{{if .ColScale}}cols[n] {{end}}{{if .Alpha}}ALPHA {{end}}sum_k a(m, k) {{if .ScaleK}}scale[k] {{end}}b(k, n){{if .Residual}} + {{if .Beta}}BETA {{end}}residual[m, n]{{end}}{{if .Diagonal}} + DIAGONAL (m = n){{end}}{{if .Accumulate}} + c[m, n]{{end}}
//   a: {{.A}}
//   b: {{.B}}
//   a, b{{if .ScaleK}}, scale [K]{{end}}{{if .RowScale}}, rows [M]{{end}}{{if .ColScale}}, cols [N]{{end}}{{if .Residual}}, residual [M, N]{{end}} -> c [M, N]{{if .Batched}}; {{.Batch}} of each, one after another{{end}}
{{- if .Symmetric}}
// c is symmetric: of the tiles of {{.TileM}} x {{.TileN}}, those below the diagonal are copies.
{{- end}}
{{- end}}

{{define "diagonal" -}}
{{- /* Adds to neighbours n..n+3 of row m of the result what is added on the diagonal. */ -}}
{{- if .Diagonal}}
	v += select(vec4<f32>(0.0), vec4<f32>(DIAGONAL), vec4<u32>(m) == n + vec4<u32>(0u, 1u, 2u, 3u));
{{- end}}
{{- end}}

{{define "mirror"}}
{{- if .Symmetric}}
// below reports whether the tile with row m and column n lies below the diagonal.
fn below(m: u32, n: u32) -> bool { return n / {{.TileN}}u * {{.TileN}}u + {{.TileN}}u <= m / {{.TileM}}u * {{.TileM}}u; }

// Writes the sums of rows m..m+3 and columns n..n+3 also where they lie below the diagonal, if no tile computes them there.
fn mirror(m: u32, n: u32, s0: vec4<f32>, s1: vec4<f32>, s2: vec4<f32>, s3: vec4<f32>) {
	if (!below(n, m)) { return; }
	var turned = transpose(mat4x4<f32>(s0, s1, s2, s3));
	for (var i = 0u; i < {{if .Shared}}4u{{else}}often(4u){{end}}; i++) { store(n + i, m, turned[i]); }
}
{{- end}}
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
{{- if .Diagonal}}
const DIAGONAL = {{f32 .Diagonal}};
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
{{- template "diagonal" .}}
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
{{- template "diagonal" .}}
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
