requires packed_4x8_integer_dot_product;
// matmul.wgsl of int8 by int8 or ternary with dot products of four bytes, in integers.
//   a: {{.A}}
//   b: {{.B}}
// Tiles of {{.TileM}} x {{.TileN}} a workgroup go through workgroup memory in slices of {{.TileK}}, four neighbours
// along k a word; each invocation holds {{.RegM}} x {{.RegN}} sums.
{{template "product" .}}
{{- range .Operands}}
{{template "bytes" .}}
{{- end}}
{{template "store4" .}}
{{- $rm := div .RegM 4}}{{$rn := div .RegN 4}}{{$top := .}}
const TILE_M = {{.TileM}}u;
const TILE_N = {{.TileN}}u;
const TILE_K = {{.TileK}}u;
var<workgroup> tile_a: array<vec4<u32>, {{div (mul .TileM .TileK) 16}}>;
var<workgroup> tile_b: array<vec4<u32>, {{div (mul .TileN .TileK) 16}}>;

@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let m0 = group.y * TILE_M;
	let n0 = group.x * TILE_N;
	let am = local / (TILE_N / {{.RegN}}u);
	let bn = local % (TILE_N / {{.RegN}}u);
{{- range $i := seq .RegM}}{{range $j := seq $rn}}
	var s{{$i}}_{{$j}} = vec4<i32>();
{{- end}}{{end}}
	for (var k0 = 0u; k0 < K; k0 += TILE_K) {
{{- range .Operands}}{{$tile := "TILE_M"}}{{$first := "m0"}}{{if eq .Name "b"}}{{$tile = "TILE_N"}}{{$first = "n0"}}{{end}}
		for (var i = local; i < {{$tile}} * TILE_K / 16u; i += {{$top.Threads}}u) {
			let {{if .AlongK}}k = i % (TILE_K / 4u);
			let o = i / (TILE_K / 4u){{else}}o = i % ({{$tile}} / 4u);
			let k = i / ({{$tile}} / 4u){{end}};
			tile_{{.Name}}[k * ({{$tile}} / 4u) + o] = words_{{.Name}}({{$first}} + 4u * o, k0 + 4u * k);
		}
{{- end}}
		workgroupBarrier();
		for (var k = 0u; k < TILE_K / 4u; k++) {
{{- range $i := seq $rm}}
			let a{{$i}} = tile_a[k * (TILE_M / 4u) + am + {{$i}}u * (TILE_M / {{$top.RegM}}u)];
{{- end}}
{{- range $j := seq $rn}}
			let b{{$j}} = tile_b[k * (TILE_N / 4u) + bn + {{$j}}u * (TILE_N / {{$top.RegN}}u)];
{{- end}}
{{- range $i := seq .RegM}}{{$a := printf "a%d.%s" (div $i 4) (xyzw (sub $i (mul 4 (div $i 4))))}}{{range $j := seq $rn}}
			s{{$i}}_{{$j}} += vec4<i32>(dot4I8Packed({{$a}}, b{{$j}}.x), dot4I8Packed({{$a}}, b{{$j}}.y), dot4I8Packed({{$a}}, b{{$j}}.z), dot4I8Packed({{$a}}, b{{$j}}.w));
{{- end}}{{end}}
		}
		workgroupBarrier();
	}
{{- range $i := seq .RegM}}{{range $j := seq $rn}}
	store(m0 + 4u * (am + {{div $i 4}}u * (TILE_M / {{$top.RegM}}u)) + {{sub $i (mul 4 (div $i 4))}}u, n0 + 4u * (bn + {{$j}}u * (TILE_N / {{$top.RegN}}u)), vec4<f32>(s{{$i}}_{{$j}}));
{{- end}}{{end}}
}
