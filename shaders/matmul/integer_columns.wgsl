// Matrix product of int8 rows and ternary weights that are stored along n, for lavapipe, in integers:
{{template "formula" .}}
// This is the gradient of an input from int8 codes of the output's. A lane has the {{.Cols}} columns of a word of b, and the
// lanes of a workgroup share {{.Rows}} rows of a, two of them in a 32-bit value as in integer_table.wgsl.
{{- template "table parts" .}}
{{- $pairs := seq (div .Rows 2)}}
@compute @workgroup_size({{.Lanes}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let m0 = uniform{{digits .Tiles}}(group.y) * ROWS;
	let n0 = (group.x * {{.Lanes}}u + local) * COLS;
	var low: array<vec4<i32>, {{mul 4 (div .Rows 2)}}>;
	var high: array<vec4<i32>, {{mul 4 (div .Rows 2)}}>;
	for (var chunk = 0u; chunk < {{.Steps}}u; chunk += {{.ChunkSteps}}u) {
{{- range $i := $pairs}}{{range $j := seq 4}}
		var s{{$i}}_{{$j}} = vec4<i32>();
{{- end}}{{end}}
		for (var step = chunk; step < min(chunk + {{.ChunkSteps}}u, {{.Steps}}u); step++) {
			let k = uniform{{digits .Steps}}(step);
{{- range $i := seq .Rows}}
			let row{{$i}} = a[(m0 + {{$i}}u) * (K / 4u) + k];
{{- end}}
{{- range $k := seq 4}}
			{
				let word = signed_codes(b[(4u * step + {{$k}}u) * (N / 16u) + n0 / 16u]);
	{{- range $i := $pairs}}
				let a{{$i}} = (i32(row{{mul 2 $i}} << {{sub 24 (mul 8 $k)}}u) >> 24u) + ((i32(row{{add 1 (mul 2 $i)}} << {{sub 24 (mul 8 $k)}}u) >> 24u) << 16u);
	{{- end}}
	{{- range $j := seq 4}}
				let w{{$j}} = vec4<i32>(vec4<u32>(word) << vec4<u32>({{range $i := seq 4}}{{sub 30 (mul 2 (add (mul 4 $j) $i))}}u, {{end}})) >> vec4<u32>(30u);
	{{- end}}
	{{- range $i := $pairs}}{{range $j := seq 4}}
				s{{$i}}_{{$j}} += a{{$i}} * w{{$j}};
	{{- end}}{{end}}
			}
{{- end}}
		}
{{- range $i := $pairs}}{{range $j := seq 4}}
		{
			let part = (s{{$i}}_{{$j}} << vec4<u32>(16u)) >> vec4<u32>(16u);
			low[{{add (mul 4 $i) $j}}] += part;
			high[{{add (mul 4 $i) $j}}] += (s{{$i}}_{{$j}} - part) >> vec4<u32>(16u);
		}
{{- end}}{{end}}
	}
	if (n0 >= N) { return; }
	for (var i = 0u; i < often(ROWS / 2u); i++) {
		let m = m0 + 2u * uniform{{digits .Rows}}(i);
		for (var j = 0u; j < often(4u); j++) {
			if (m < M) { store(m, n0 + 4u * j, vec4<f32>(low[4u * i + j])); }
			if (m + 1u < M) { store(m + 1u, n0 + 4u * j, vec4<f32>(high[4u * i + j])); }
		}
	}
}
