// Matrix product:
{{template "formula" .}}
// Sums of integers are exact here: every partial sum is below 2^24.
{{- if .Shared}}
// Tiles of {{.TileM}} x {{.TileN}} a workgroup go through workgroup memory in slices of {{.TileK}}; each
// invocation holds {{.RegM}} x {{.RegN}} sums.
{{- else}}
// Each invocation holds {{.RegM}} x {{.RegN}} sums and loads its operands itself.
{{- end}}
{{template "shapes" .}}
{{template "bindings" .}}
{{- if not .Shared}}
// often returns n in a way that the compiler cannot see through, so that it does not unroll a loop up to n.
fn often(n: u32) -> u32 { return n + u32(arrayLength(&c) == 0u); }
{{- end}}
{{- range .Operands}}
{{template "fetch" .}}
// Column i holds {{.Name}} at o..o+3 for k + i.
fn block_{{.Name}}(o: u32, k: u32) -> mat4x4<f32> {
{{- if .AlongK}}
	let block = transpose(mat4x4<f32>(fetch_{{.Name}}(o, k), fetch_{{.Name}}(o + 1u, k), fetch_{{.Name}}(o + 2u, k), fetch_{{.Name}}(o + 3u, k)));
{{- else}}
	let block = mat4x4<f32>(fetch_{{.Name}}(k, o), fetch_{{.Name}}(k + 1u, o), fetch_{{.Name}}(k + 2u, o), fetch_{{.Name}}(k + 3u, o));
{{- end}}
{{- if .ScaleK}}
	return mat4x4<f32>(block[0] * factor(k), block[1] * factor(k + 1u), block[2] * factor(k + 2u), block[3] * factor(k + 3u));
{{- else}}
	return block;
{{- end}}
}
{{end}}
{{- if .ScaleK}}
fn factor(k: u32) -> f32 {
{{- if .CheckK}}
	if (k >= K) { return 0.0; }
{{- end}}
	return scale[k];
}
{{end}}
{{template "store4" .}}
{{- template "mirror" .}}
{{- $rm := div .RegM 4}}{{$rn := div .RegN 4}}
{{if .Shared}}{{template "product by tiles" .}}{{else}}
@compute @workgroup_size({{.ThreadsN}}, {{.ThreadsM}})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
{{- if .Batched}}
	number = id.z;
{{- end}}
	let m = id.y * {{.RegM}}u;
	let n = id.x * {{.RegN}}u;
	if (m >= M || n >= N{{if .Symmetric}} || below(m, n){{end}}) { return; }
{{- range $i := seq .RegM}}{{range $j := seq $rn}}
	var s{{$i}}_{{$j}} = vec4<f32>();
{{- end}}{{end}}
	for (var k = 0u; k < K; k += 4u) {
{{- range $i := seq $rm}}
		let a{{$i}} = block_a(m + {{mul 4 $i}}u, k);
{{- end}}
{{- range $j := seq $rn}}
		let b{{$j}} = block_b(n + {{mul 4 $j}}u, k);
{{- end}}
{{- range $k := seq 4}}{{range $i := seq $.RegM}}{{range $j := seq $rn}}
		s{{$i}}_{{$j}} += a{{div $i 4}}[{{$k}}][{{mod $i 4}}] * b{{$j}}[{{$k}}];
{{- end}}{{end}}{{end}}
	}
	var sums: array<vec4<f32>, {{mul .RegM $rn}}>;
{{- range $i := seq .RegM}}{{range $j := seq $rn}}
	sums[{{add (mul $i $rn) $j}}] = s{{$i}}_{{$j}};
{{- end}}{{end}}
	for (var i = 0u; i < often({{mul .RegM $rn}}u); i++) { store(m + i / {{$rn}}u, n + 4u * (i % {{$rn}}u), sums[i]); }
{{- if .Symmetric}}
	for (var i = 0u; i < often({{mul .RegM $rn}}u); i++) {
		let at = i / {{$rn}}u; // row of sums
		if (at % 4u == 0u) { mirror(m + at, n + 4u * (i % {{$rn}}u), sums[i], sums[i + {{$rn}}u], sums[i + {{mul 2 $rn}}u], sums[i + {{mul 3 $rn}}u]); }
	}
{{- end}}
}
{{end}}
