// Matrix product for lavapipe:
{{template "formula" .}}
// All lanes of a workgroup share {{.Rows}} rows of a, which are loaded once for all, and have {{.Cols}} columns each. Sums past M or N
// are computed from whatever is in memory, and not stored.
{{- template "table parts" .}}
{{- $vectors := seq (div .Cols 4)}}{{$rows := seq .Rows}}
@compute @workgroup_size({{.Lanes}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
{{- if .Batched}}
	number = uniform{{digits .Batch}}(group.z);
{{- end}}
	let m0 = uniform{{digits .Tiles}}(group.y) * ROWS;
	let n0 = (group.x * {{.Lanes}}u + local) * COLS;
{{- if .Symmetric}}
	if (below(m0, group.x * {{.TileN}}u)) { return; }
{{- end}}
{{- range $i := $rows}}{{range $j := $vectors}}
	var s{{$i}}_{{$j}} = vec4<f32>();
{{- end}}{{end}}
	for (var step = 0u; step < {{.Steps}}u; step++) {
		let k = uniform{{digits .Steps}}(step);
{{- if .ScaleK}}
		let factors = scale[k];
{{- end}}
{{- if .A.AlongK}}{{range $i := $rows}}
		let a{{$i}} = a[({{if $.Batched}}number * M + {{end}}m0 + {{$i}}u) * (K / 4u) + k]{{if $.ScaleA}} * factors{{end}};
{{- end}}{{else}}{{range $k := seq 4}}{{range $i := seq (div $.Rows 4)}}
		let a{{$i}}_{{$k}} = a[({{if $.Batched}}number * K + {{end}}4u * k + {{$k}}u) * (M / 4u) + m0 / 4u + {{$i}}u];
{{- end}}{{end}}{{end}}
{{- if .B.Ternary}}{{range $k := seq 4}}
		let word{{$k}} = signed_codes(b[(4u * step + {{$k}}u) * (N / 16u) + n0 / 16u]);
{{- end}}{{else if .B.Int8}}{{range $k := seq 4}}
		let b{{$k}}_0 = vec4<f32>(vec4<i32>(vec4<u32>(b[(4u * step + {{$k}}u) * (N / 4u) + n0 / 4u]) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u)){{if $.ScaleB}} * factors[{{$k}}]{{end}};
{{- end}}{{else if .B.AlongK}}{{range $i := seq 4}}
		let row{{$i}} = b[({{if $.Batched}}number * N + {{end}}n0 + {{$i}}u) * (K / 4u) + step];
{{- end}}{{range $k := seq 4}}
		let b{{$k}}_0 = vec4<f32>(row0[{{$k}}], row1[{{$k}}], row2[{{$k}}], row3[{{$k}}]){{if $.ScaleB}} * factors[{{$k}}]{{end}};
{{- end}}{{else}}{{range $k := seq 4}}
		let b{{$k}}_0 = b[({{if $.Batched}}number * K + {{end}}4u * step + {{$k}}u) * (N / 4u) + n0 / 4u]{{if $.ScaleB}} * factors[{{$k}}]{{end}};
{{- end}}{{end}}
{{- range $j := $vectors}}
{{- if $.B.Ternary}}{{range $k := seq 4}}
		let b{{$k}}_{{$j}} = vec4<f32>(vec4<i32>(vec4<u32>(word{{$k}}) << vec4<u32>({{range $i := seq 4}}{{sub 30 (mul 2 (add (mul 4 $j) $i))}}u, {{end}})) >> vec4<u32>(30u)){{if $.ScaleB}} * factors[{{$k}}]{{end}};
{{- end}}{{end}}
{{- range $i := $rows}}
		s{{$i}}_{{$j}} = s{{$i}}_{{$j}}{{range $k := seq 4}} + {{if $.A.AlongK}}a{{$i}}{{component 4 $k}}{{else}}a{{div $i 4}}_{{$k}}{{component 4 (mod $i 4)}}{{end}} * b{{$k}}_{{$j}}{{end}};
{{- end}}{{end}}
	}
	var sums: array<vec4<f32>, {{mul .Rows (div .Cols 4)}}>;
{{- range $i := $rows}}{{range $j := $vectors}}
	sums[{{add (mul $i (div $.Cols 4)) $j}}] = s{{$i}}_{{$j}};
{{- end}}{{end}}
	if (n0 >= N) { return; }
	for (var i = 0u; i < min(often(ROWS), M - m0); i++) {
		let m = m0 + uniform{{digits .Rows}}(i);
{{- range $j := $vectors}}
		store(m, n0 + {{mul 4 $j}}u, sums[i * (COLS / 4u) + {{$j}}u]);
{{- end}}
	}
{{- if .Symmetric}}
	for (var i = 0u; i < min(often(ROWS), M - m0); i += 4u) { mirror(m0 + i, n0, sums[i], sums[i + 1u], sums[i + 2u], sums[i + 3u]); }
{{- end}}
}
