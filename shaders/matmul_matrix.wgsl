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
// workgroup memory, laid out as they are stored, so that neighbours stay neighbours. Each of
// {{.SubM}} x {{.SubN}} subgroups holds {{.RegM}} x {{.RegN}} matrices of sums.
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
var<workgroup> tile_{{.Name}}: array<{{if $integer}}i32{{else}}f16{{end}}, {{mul .TileRows .Stride}}>;
{{- end}}
{{- if not .Direct}}
var<workgroup> patches: array<{{.Shape.Result}}, {{mul .Subgroups .PatchSize}}>;
{{- end}}
{{if .Integer}}
{{- range .Operands}}{{$ternary := eq .Kind.String "ternary"}}{{$per := 4}}{{if $ternary}}{{$per = 16}}{{end}}
{{- if $ternary}}
{{template "unpack" .}}
{{end}}
fn fill_{{.Name}}(o0: u32, k0: u32, local: u32) {
	for (var i = local; i < {{div (mul .TileRows .TileCols) $per}}u; i += THREADS) {
		let r = i / {{div .TileCols $per}}u;
		let c = i % {{div .TileCols $per}}u;
		let row = {{if .AlongK}}o0{{else}}k0{{end}} + r;
		let word = {{if .AlongK}}k0{{else}}o0{{end}} / {{$per}}u + c;
		var v = {{if $ternary}}0x55555555u{{else}}0u{{end}};
		if ({{if .CheckRows}}row < {{.Rows}}u{{else}}true{{end}}{{if .CheckCols}} && word < {{.Words}}u{{end}}) { v = {{.Name}}[row * {{.Words}}u + word]; }
{{- if $ternary}}
		for (var j = 0u; j < 4u; j++) { tile_{{.Name}}[r * STRIDE_{{.Name}} + 4u * c + j] = bitcast<i32>(unpack(v >> (8u * j))); }
{{- else}}
		tile_{{.Name}}[r * STRIDE_{{.Name}} + c] = bitcast<i32>(v);
{{- end}}
	}
}
{{end}}
{{else}}
{{- range .Operands}}
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

fn fill_{{.Name}}(o0: u32, k0: u32, local: u32) {
	for (var i = local; i < {{div (mul .TileRows .TileCols) 4}}u; i += THREADS) {
		let row = i / {{div .TileCols 4}}u;
		let col = 4u * (i % {{div .TileCols 4}}u);
		let v = vec4<f16>(scaled_{{.Name}}({{if .AlongK}}o0{{else}}k0{{end}} + row, {{if .AlongK}}k0{{else}}o0{{end}} + col));
		let to = row * STRIDE_{{.Name}} + col;
		tile_{{.Name}}[to] = v.x;
		tile_{{.Name}}[to + 1u] = v.y;
		tile_{{.Name}}[to + 2u] = v.z;
		tile_{{.Name}}[to + 3u] = v.w;
	}
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
{{- end}}
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
{{- $top := .}}
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
			let a{{$i}} = subgroupMatrixLoad<Left, {{$top.A.Major}}>(&tile_a, {{$top.A.At (printf "(sm + %du)" (mul $i $top.Shape.M))}}, STRIDE_a);
{{- end}}
{{- range $j := seq .RegN}}
			{
				let b = subgroupMatrixLoad<Right, {{$top.B.Major}}>(&tile_b, {{$top.B.At (printf "(sn + %du)" (mul $j $top.Shape.N))}}, STRIDE_b);
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
