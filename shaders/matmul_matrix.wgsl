{{- if .Integer}}enable subgroups;{{else}}enable f16;
enable subgroups;{{end}}
enable chromium_experimental_subgroup_matrix;
{{- if .PinSubgroup}}
enable subgroup_size_control;
{{- end}}
// matmul.wgsl with matrix units: a subgroup multiplies [{{.Shape.M}}, {{.Shape.K}}] by [{{.Shape.K}}, {{.Shape.N}}] at once, in {{.Shape}}.
//   a: {{.A}}
//   b: {{.B}}
// A workgroup computes {{.TileM}} x {{.TileN}} of the result. Slices of {{.TileK}} of both operands are {{if .Integer}}unpacked to int8{{else}}rounded to f16{{end}} in
// workgroup memory, their rows along k, however they are stored: so each invocation finds what it needs of a matrix
// in a few words. Each of {{.SubM}} x {{.SubN}} subgroups holds {{.RegM}} x {{.RegN}} matrices of sums.
{{- if not .Integer}}
// Products are exact and sums are f32; the error is that of rounding the operands to 11 bits.
{{- end}}
{{template "product" .}}
const TILE_M = {{.TileM}}u;
const TILE_N = {{.TileN}}u;
const TILE_K = {{.TileK}}u;
const THREADS = {{.Threads}}u;
alias Left = subgroup_matrix_left<{{.Shape.Component}}, {{.Shape.K}}, {{.Shape.M}}>;
alias Right = subgroup_matrix_right<{{.Shape.Component}}, {{.Shape.N}}, {{.Shape.K}}>;
alias Sums = subgroup_matrix_result<{{.Shape.Result}}, {{.Shape.N}}, {{.Shape.M}}>;
{{$integer := .Integer}}{{$lift := .Lift}}
{{- if .Lift}}
const GAIN = {{f32 .Gain}};
{{- end}}
{{- range .Operands}}
const STRIDE_{{.Name}} = {{.Stride}}u; // elements{{if $integer}} of four int8{{end}} from one row of tile_{{.Name}} to the next
var<workgroup> tile_{{.Name}}: array<{{if $integer}}i32{{else}}f16{{end}}, {{mul .Outer .Stride}}>;
{{- end}}
{{- if not .Direct}}
var<workgroup> patches: array<{{.Shape.Result}}, {{mul .Subgroups .PatchSize}}>;
{{- end}}
{{range .Operands}}
{{- if $integer}}
{{- if or (not .AlongK) (ne .Kind.String "ternary")}}
{{template "bytes" .}}
{{- else}}
{{template "unpack" .}}
{{- end}}
{{- else}}
{{template "fetch" .}}

// The same with the factors that belong to it.
fn scaled_{{.Name}}(row: u32, col: u32) -> vec4<f32> {
	var v = fetch_{{.Name}}(row, col);
{{- if .ScaleK}}
{{- if .AlongK}}
	v *= vec4<f32>(factor(col), factor(col + 1u), factor(col + 2u), factor(col + 3u));
{{- else}}
	v *= factor(row);
{{- end}}
{{- end}}
{{- if and $lift (eq .Name "a")}}
	v *= GAIN;
{{- end}}
	return v;
}

fn put_{{.Name}}(o: u32, k: u32, v: vec4<f32>) {
	let h = vec4<f16>(v);
	let to = o * STRIDE_{{.Name}} + k;
	tile_{{.Name}}[to] = h.x;
	tile_{{.Name}}[to + 1u] = h.y;
	tile_{{.Name}}[to + 2u] = h.z;
	tile_{{.Name}}[to + 3u] = h.w;
}
{{- end}}

fn fill_{{.Name}}(o0: u32, k0: u32, local: u32) {
{{- if not .AlongK}}
	for (var i = local; i < {{div .Outer 4}}u * (TILE_K / 4u); i += THREADS) {
		// Eight neighbours read 128 bytes of a row, the next ones other rows: so few of them write to one bank.
		let o = 4u * (i % 8u + i / (2u * TILE_K) * 8u);
		let k = i / 8u % (TILE_K / 4u){{if not $integer}} * 4u{{end}};
{{- if $integer}}
		let v = block_{{.Name}}(o0 + o, k0 + 4u * k);
{{- else}}
		let v = transpose(mat4x4<f32>(scaled_{{.Name}}(k0 + k, o0 + o), scaled_{{.Name}}(k0 + k + 1u, o0 + o), scaled_{{.Name}}(k0 + k + 2u, o0 + o), scaled_{{.Name}}(k0 + k + 3u, o0 + o)));
{{- end}}
		for (var j = 0u; j < 4u; j++) { {{if $integer}}tile_{{.Name}}[(o + j) * STRIDE_{{.Name}} + k] = bitcast<i32>(v[j]);{{else}}put_{{.Name}}(o + j, k, v[j]);{{end}} }
	}
{{- else if not $integer}}
	for (var i = local; i < {{.Outer}}u * (TILE_K / 4u); i += THREADS) {
		let o = i / (TILE_K / 4u);
		let k = 4u * (i % (TILE_K / 4u));
		put_{{.Name}}(o, k, scaled_{{.Name}}(o0 + o, k0 + k));
	}
{{- else if eq .Kind.String "ternary"}}
	for (var i = local; i < {{.Outer}}u * (TILE_K / 16u); i += THREADS) {
		let o = i / (TILE_K / 16u);
		let word = i % (TILE_K / 16u);
		var v = 0x55555555u; // zeros
		if ({{if .CheckRows}}o0 + o < {{.Rows}}u{{else}}true{{end}}{{if .CheckCols}} && k0 / 16u + word < {{.Words}}u{{end}}) { v = {{.Name}}[(o0 + o) * {{.Words}}u + k0 / 16u + word]; }
		for (var j = 0u; j < 4u; j++) { tile_{{.Name}}[o * STRIDE_{{.Name}} + 4u * word + j] = bitcast<i32>(unpack(v >> (8u * j))); }
	}
{{- else}}
	for (var i = local; i < {{.Outer}}u * (TILE_K / 4u); i += THREADS) {
		let o = i / (TILE_K / 4u);
		let word = i % (TILE_K / 4u);
		tile_{{.Name}}[o * STRIDE_{{.Name}} + word] = bitcast<i32>(bytes_{{.Name}}(o0 + o, k0 + 4u * word));
	}
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
{{- if not .Direct}}
fn store(m: u32, n: u32, sum: {{.Shape.Result}}) {
{{- if .CheckM}}
	if (m >= M) { return; }
{{- end}}
{{- if .CheckN}}
	if (n >= N) { return; }
{{- end}}
	var v = f32(sum){{if .Lift}} / GAIN{{end}};
{{- if .RowScale}}
	v *= rows[m];
{{- end}}
{{- if .ColScale}}
	v *= cols[n];
{{- end}}
{{- if .Residual}}
	v += residual[m * N + n];
{{- end}}
	c[m * N + n] {{if .Accumulate}}+{{end}}= v;
}
{{end}}
{{- $top := .}}{{$per := ""}}{{if .Integer}}{{$per = " / 4u"}}{{end}}
@compute @workgroup_size({{.Threads}}){{if .PinSubgroup}} @subgroup_size({{.Subgroup}}){{end}}
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
	@builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
	let m0 = group.y * TILE_M;
	let n0 = group.x * TILE_N;
	let sm = (subgroup / {{.SubN}}u) * {{mul .RegM .Shape.M}}u; // this subgroup's part of the tile
	let sn = (subgroup % {{.SubN}}u) * {{mul .RegN .Shape.N}}u;
{{- range $i := seq .RegM}}{{range $j := seq $top.RegN}}
	var s{{$i}}_{{$j}}{{if and $top.Direct $top.Accumulate}} = subgroupMatrixLoad<Sums, row_major>(&c, (m0 + sm + {{mul $i $top.Shape.M}}u) * N + n0 + sn + {{mul $j $top.Shape.N}}u, N){{else}}: Sums{{end}};
{{- end}}{{end}}
	for (var k0 = 0u; k0 < K; k0 += TILE_K) {
		fill_a(m0, k0, local);
		fill_b(n0, k0, local);
		workgroupBarrier();
		for (var k = 0u; k < TILE_K; k += {{.Shape.K}}u) {
{{- range $i := seq .RegM}}
			let a{{$i}} = subgroupMatrixLoad<Left, row_major>(&tile_a, (sm + {{mul $i $top.Shape.M}}u) * STRIDE_a + k{{$per}}, STRIDE_a);
{{- end}}
{{- range $j := seq .RegN}}
			{
				let b = subgroupMatrixLoad<Right, col_major>(&tile_b, (sn + {{mul $j $top.Shape.N}}u) * STRIDE_b + k{{$per}}, STRIDE_b);
	{{- range $i := seq $top.RegM}}
				s{{$i}}_{{$j}} = subgroupMatrixMultiplyAccumulate(a{{$i}}, b, s{{$i}}_{{$j}});
	{{- end}}
			}
{{- end}}
		}
		workgroupBarrier();
	}
{{- if .Direct}}
{{- range $i := seq .RegM}}{{range $j := seq $top.RegN}}
	subgroupMatrixStore<row_major>(&c, (m0 + sm + {{mul $i $top.Shape.M}}u) * N + n0 + sn + {{mul $j $top.Shape.N}}u, s{{$i}}_{{$j}}, N);
{{- end}}{{end}}
{{- else}}
	// Invocations cannot see which sums they hold: each row of matrices goes through workgroup memory.
	let first = subgroup * {{.PatchSize}}u;
{{- range $i := seq .RegM}}
{{- range $j := seq $top.RegN}}
	subgroupMatrixStore<row_major>(&patches, first + {{mul $j $top.Shape.N}}u, s{{$i}}_{{$j}}, {{$top.PatchWidth}}u);
{{- end}}
	workgroupBarrier();
	for (var i = lane; i < {{$top.PatchSize}}u; i += {{$top.Subgroup}}u) {
		store(m0 + sm + {{mul $i $top.Shape.M}}u + i / {{$top.PatchWidth}}u, n0 + sn + i % {{$top.PatchWidth}}u, patches[first + i]);
	}
	workgroupBarrier();
{{- end}}
{{- end}}
}
