// Matrix product of int8 rows and ternary weights that are stored along k, for lavapipe, in integers:
{{template "formula" .}}
// The lanes of a workgroup share {{.Rows}} rows of a. A 32-bit value holds two rows, a_low + 2^16 a_high: one multiplication
// and one addition serve both, and their sums stay apart while each is below 2^15. With |a| <= 127 that is 256 elements.
{{- template "table parts" .}}
{{- $pairs := seq (div .Rows 2)}}
@compute @workgroup_size({{.Lanes}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let m0 = uniform{{digits .Tiles}}(group.y) * ROWS;
	let n0 = (group.x * {{.Lanes}}u + local) * COLS;
	var low: array<vec4<i32>, {{div .Rows 2}}>;
	var high: array<vec4<i32>, {{div .Rows 2}}>;
	for (var chunk = 0u; chunk < {{.Steps}}u; chunk += {{.ChunkSteps}}u) {
{{- range $i := $pairs}}
		var s{{$i}} = vec4<i32>();
{{- end}}
		for (var step = chunk; step < min(chunk + {{.ChunkSteps}}u, {{.Steps}}u); step++) {
			let k = uniform{{digits .Steps}}(step);
{{- range $i := seq .Rows}}
			let row{{$i}} = a[(m0 + {{$i}}u) * (K / 16u) + k];
{{- end}}
{{- range $i := $pairs}}{{range $k := seq 16}}
			let a{{$i}}_{{$k}} = (i32(row{{mul 2 $i}}[{{div $k 4}}] << {{sub 24 (mul 8 (mod $k 4))}}u) >> 24u) + ((i32(row{{add 1 (mul 2 $i)}}[{{div $k 4}}] << {{sub 24 (mul 8 (mod $k 4))}}u) >> 24u) << 16u);
{{- end}}{{end}}
{{- range $c := seq 4}}
			{
				let word = signed_codes(b[(n0 + {{$c}}u) * (K / 16u) + step]);
	{{- range $k := seq 16}}
				let w{{$k}} = i32(word << {{sub 30 (mul 2 $k)}}u) >> 30u;
	{{- end}}
	{{- range $i := $pairs}}
				s{{$i}}{{component 4 $c}} = s{{$i}}{{component 4 $c}}{{range $k := seq 16}} + a{{$i}}_{{$k}} * w{{$k}}{{end}};
	{{- end}}
			}
{{- end}}
		}
{{- range $i := $pairs}}
		{
			let part = (s{{$i}} << vec4<u32>(16u)) >> vec4<u32>(16u);
			low[{{$i}}] += part;
			high[{{$i}}] += (s{{$i}} - part) >> vec4<u32>(16u);
		}
{{- end}}
	}
	if (n0 >= N) { return; }
	for (var i = 0u; i < often(ROWS / 2u); i++) {
		let m = m0 + 2u * uniform{{digits .Rows}}(i);
		if (m < M) { store(m, n0, vec4<f32>(low[i])); }
		if (m + 1u < M) { store(m + 1u, n0, vec4<f32>(high[i])); }
	}
}
