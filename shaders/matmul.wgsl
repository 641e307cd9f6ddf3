// Matrix product: c[m, n] = rows[m] cols[n] sum_k a(m, k) scale[k] b(k, n){{if .Residual}} + residual[m, n]{{end}}{{if .Accumulate}}, added to what c holds{{end}}
// with the factors that are bound. M = {{.M}}, N = {{.N}}, K = {{.K}}.
//   a: {{.A}}
//   b: {{.B}}
// int8 is packed four a u32 and ternary 16 a u32 (codes w + 1), rows padded to whole words.
// Products of integers are exact here: every partial sum is below 2^24.
{{- if .Shared}}
// Tiles of {{.TileM}} x {{.TileN}} a workgroup go through workgroup memory in slices of {{.TileK}}; each
// invocation holds {{.RegM}} x {{.RegN}} sums.
{{- else}}
// Each invocation holds {{.RegM}} x {{.RegN}} sums and loads its operands itself.
{{- end}}
{{template "product" .}}
{{- if not .Shared}}
// often returns n, which the compiler does not know: it leaves a loop up to it rolled.
fn often(n: u32) -> u32 { return n + u32(arrayLength(&c) == 0u); }
{{- end}}
{{- range .Operands}}
{{template "fetch" .}}
// Column i holds {{.Name}} at o..o+3 for the k + i.
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
{{- $rm := div .RegM 4}}{{$rn := div .RegN 4}}{{$top := .}}
{{if .Shared}}
const TILE_M = {{.TileM}}u;
const TILE_N = {{.TileN}}u;
const TILE_K = {{.TileK}}u;
var<workgroup> tile_a: array<vec4<f32>, {{div (mul .TileM .TileK) 4}}>;
var<workgroup> tile_b: array<vec4<f32>, {{div (mul .TileN .TileK) 4}}>;

@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let m0 = group.y * TILE_M;
	let n0 = group.x * TILE_N;
	let am = local / (TILE_N / {{.RegN}}u); // this invocation's rows are am*4 + i*(TILE_M/{{$rm}}), so that neighbours read neighbours
	let bn = local % (TILE_N / {{.RegN}}u);
{{- range $i := seq .RegM}}{{range $j := seq $rn}}
	var s{{$i}}_{{$j}} = vec4<f32>();
{{- end}}{{end}}
	for (var k0 = 0u; k0 < K; k0 += TILE_K) {
		for (var b = local; b < TILE_M * TILE_K / 16u; b += {{.Threads}}u) {
			let {{if .A.AlongK}}k = 4u * (b % (TILE_K / 4u));
			let o = b / (TILE_K / 4u){{else}}o = b % (TILE_M / 4u);
			let k = 4u * (b / (TILE_M / 4u)){{end}};
			let v = block_a(m0 + 4u * o, k0 + k);
{{- range $i := seq 4}}
			tile_a[(k + {{$i}}u) * (TILE_M / 4u) + o] = v[{{$i}}];
{{- end}}
		}
		for (var b = local; b < TILE_N * TILE_K / 16u; b += {{.Threads}}u) {
			let {{if .B.AlongK}}k = 4u * (b % (TILE_K / 4u));
			let o = b / (TILE_K / 4u){{else}}o = b % (TILE_N / 4u);
			let k = 4u * (b / (TILE_N / 4u)){{end}};
			let v = block_b(n0 + 4u * o, k0 + k);
{{- range $i := seq 4}}
			tile_b[(k + {{$i}}u) * (TILE_N / 4u) + o] = v[{{$i}}];
{{- end}}
		}
		workgroupBarrier();
		for (var k = 0u; k < TILE_K; k++) {
{{- range $i := seq $rm}}
			let a{{$i}} = tile_a[k * (TILE_M / 4u) + am + {{$i}}u * (TILE_M / {{$top.RegM}}u)];
{{- end}}
{{- range $j := seq $rn}}
			let b{{$j}} = tile_b[k * (TILE_N / 4u) + bn + {{$j}}u * (TILE_N / {{$top.RegN}}u)];
{{- end}}
{{- range $i := seq .RegM}}{{range $j := seq $rn}}
			s{{$i}}_{{$j}} = fma(vec4<f32>(a{{div $i 4}}.{{xyzw (sub $i (mul 4 (div $i 4)))}}), b{{$j}}, s{{$i}}_{{$j}});
{{- end}}{{end}}
		}
		workgroupBarrier();
	}
{{- range $i := seq .RegM}}{{range $j := seq $rn}}
	store(m0 + 4u * (am + {{div $i 4}}u * (TILE_M / {{$top.RegM}}u)) + {{sub $i (mul 4 (div $i 4))}}u, n0 + 4u * (bn + {{$j}}u * (TILE_N / {{$top.RegN}}u)), s{{$i}}_{{$j}});
{{- end}}{{end}}
}
{{else}}
@compute @workgroup_size({{.ThreadsN}}, {{.ThreadsM}})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
	let m = id.y * {{.RegM}}u;
	let n = id.x * {{.RegN}}u;
	if (m >= M || n >= N) { return; }
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
{{- range $k := seq 4}}{{range $i := seq $top.RegM}}{{range $j := seq $rn}}
		s{{$i}}_{{$j}} += a{{div $i 4}}[{{$k}}][{{sub $i (mul 4 (div $i 4))}}] * b{{$j}}[{{$k}}];
{{- end}}{{end}}{{end}}
	}
	var sums: array<vec4<f32>, {{mul .RegM $rn}}>;
{{- range $i := seq .RegM}}{{range $j := seq $rn}}
	sums[{{add (mul $i $rn) $j}}] = s{{$i}}_{{$j}};
{{- end}}{{end}}
	for (var i = 0u; i < often({{mul .RegM $rn}}u); i++) { store(m + i / {{$rn}}u, n + 4u * (i % {{$rn}}u), sums[i]); }
}
{{end}}
