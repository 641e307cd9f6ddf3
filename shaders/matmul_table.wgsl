{{define "matmul_table"}}
const M = {{.M}}u;
const N = {{.N}}u;
const K = {{.K}}u;
const ROWS = {{.Rows}}u; // of sums, an invocation
const COLS = {{.Cols}}u;
@group(0) @binding(0) var<storage, read> a: array<{{.AElem}}>;
@group(0) @binding(1) var<storage, read> b: array<{{.BElem}}>;
{{- range .Vectors}}
@group(0) @binding({{.Binding}}) var<storage, read> {{.Name}}: array<{{if eq .Name "rows"}}f32{{else}}vec4<f32>{{end}}>;
{{- end}}
{{- if .Residual}}
@group(0) @binding({{.ResidualBinding}}) var<storage, read> residual: array<vec4<f32>>;
{{- end}}
@group(0) @binding({{.OutBinding}}) var<storage, read_write> c: array<vec4<f32>>;
{{template "table"}}
// Writes four neighbours of row m of the result; m is uniform.
fn store(m: u32, n: u32, sum: vec4<f32>) {
	var v = sum;
{{- if .RowScale}}
	v *= rows[m];
{{- end}}
{{- if .ColScale}}
	v *= cols[n / 4u];
{{- end}}
{{- if .Residual}}
	v += residual[(m * N + n) / 4u];
{{- end}}
	c[(m * N + n) / 4u] {{if .Accumulate}}+{{end}}= v;
}
{{template "signed_codes"}}
{{end -}}
// matmul.wgsl for lavapipe: all lanes of a workgroup have the same {{.Rows}} rows of a, which are loaded once for
// all, and {{.Cols}} columns each. What lies past M or N is computed from whatever is there, and not stored.
//   a: {{.A}}
//   b: {{.B}}
{{- template "matmul_table" .}}
{{- $vectors := seq (div .Cols 4)}}{{$rows := seq .Rows}}{{$top := .}}
@compute @workgroup_size({{.Lanes}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let m0 = {{un .Tiles "group.y"}} * ROWS;
	let n0 = (group.x * {{.Lanes}}u + local) * COLS;
{{- range $i := $rows}}{{range $j := $vectors}}
	var s{{$i}}_{{$j}} = vec4<f32>();
{{- end}}{{end}}
	for (var step = 0u; step < {{.Steps}}u; step++) {
		let k = {{un .Steps "step"}};
{{- if .ScaleK}}
		let factors = scale[k];
{{- end}}
{{- if .A.AlongK}}{{range $i := $rows}}
		let a{{$i}} = a[(m0 + {{$i}}u) * (K / 4u) + k]{{if $top.ScaleA}} * factors{{end}};
{{- end}}{{else}}{{range $k := seq 4}}{{range $i := seq (div $top.Rows 4)}}
		let a{{$i}}_{{$k}} = a[(4u * k + {{$k}}u) * (M / 4u) + m0 / 4u + {{$i}}u];
{{- end}}{{end}}{{end}}
{{- if eq .B.Kind.String "ternary"}}{{range $k := seq 4}}
		let word{{$k}} = signed_codes(b[(4u * step + {{$k}}u) * (N / 16u) + n0 / 16u]);
{{- end}}{{else if eq .B.Kind.String "int8"}}{{range $k := seq 4}}
		let b{{$k}}_0 = vec4<f32>(vec4<i32>(vec4<u32>(b[(4u * step + {{$k}}u) * (N / 4u) + n0 / 4u]) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u)){{if $top.ScaleB}} * factors[{{$k}}]{{end}};
{{- end}}{{else if .B.AlongK}}{{range $i := seq 4}}
		let row{{$i}} = b[(n0 + {{$i}}u) * (K / 4u) + step];
{{- end}}{{range $k := seq 4}}
		let b{{$k}}_0 = vec4<f32>(row0[{{$k}}], row1[{{$k}}], row2[{{$k}}], row3[{{$k}}]){{if $top.ScaleB}} * factors[{{$k}}]{{end}};
{{- end}}{{else}}{{range $k := seq 4}}
		let b{{$k}}_0 = b[(4u * step + {{$k}}u) * (N / 4u) + n0 / 4u]{{if $top.ScaleB}} * factors[{{$k}}]{{end}};
{{- end}}{{end}}
{{- range $j := $vectors}}
{{- if eq $top.B.Kind.String "ternary"}}{{range $k := seq 4}}
		let b{{$k}}_{{$j}} = vec4<f32>(vec4<i32>(vec4<u32>(word{{$k}}) << vec4<u32>({{range $i := seq 4}}{{$top.Shift (add (mul 4 $j) $i)}}u, {{end}})) >> vec4<u32>(30u)){{if $top.ScaleB}} * factors[{{$k}}]{{end}};
{{- end}}{{end}}
{{- range $i := $rows}}
		s{{$i}}_{{$j}} = s{{$i}}_{{$j}}{{$top.Products $i $j}};
{{- end}}{{end}}
	}
	var sums: array<vec4<f32>, {{mul .Rows (div .Cols 4)}}>;
{{- range $i := $rows}}{{range $j := $vectors}}
	sums[{{add (mul $i (div $top.Cols 4)) $j}}] = s{{$i}}_{{$j}};
{{- end}}{{end}}
	if (n0 >= N) { return; }
	for (var i = 0u; i < min(often(ROWS), M - m0); i++) {
		let m = m0 + {{un .Rows "i"}};
{{- range $j := $vectors}}
		store(m, n0 + {{mul 4 $j}}u, sums[i * (COLS / 4u) + {{$j}}u]);
{{- end}}
	}
}
