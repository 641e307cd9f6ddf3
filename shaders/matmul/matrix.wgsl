{{- if .Integer}}enable subgroups;{{else}}enable f16;
enable subgroups;{{end}}
enable chromium_experimental_subgroup_matrix;
{{- if .PinSubgroup}}
enable subgroup_size_control;
{{- end}}
// Matrix product on matrix units, which multiply {{.Shape}} at once:
{{template "formula" .}}
// A workgroup computes {{.TileM}} x {{.TileN}} of the result. Slices of {{.TileK}} of both operands are {{if .Integer}}unpacked to int8{{else}}rounded to f16{{end}} in
// workgroup memory, with rows along k however they are stored, so that each invocation finds its part of a matrix in a
// few words. Each of {{.SubM}} x {{.SubN}} subgroups holds {{.RegM}} x {{.RegN}} matrices of sums.
{{- if not .Integer}}
// Products are exact and sums are f32; the error is that of rounding the operands to 11 bits.
{{- end}}
{{template "shapes" .}}
{{template "bindings" .}}
const TILE_M = {{.TileM}}u;
const TILE_N = {{.TileN}}u;
const TILE_K = {{.TileK}}u;
const THREADS = {{.Threads}}u;
alias Left = subgroup_matrix_left<{{.Shape.Component}}, {{.Shape.K}}, {{.Shape.M}}>;
alias Right = subgroup_matrix_right<{{.Shape.Component}}, {{.Shape.N}}, {{.Shape.K}}>;
alias Sums = subgroup_matrix_result<{{.Shape.Result}}, {{.Shape.N}}, {{.Shape.M}}>;

{{- if .Lift}}
const GAIN = {{f32 .Gain}};
{{- end}}
{{- range .Operands}}
const STRIDE_{{.Name}} = {{.Stride}}u; // elements{{if $.Integer}} of four int8{{end}} from one row of tile_{{.Name}} to the next
var<workgroup> tile_{{.Name}}: array<{{if $.Integer}}i32{{else}}f16{{end}}, {{mul .Tile .Stride}}>;
{{- end}}
{{- if not .Direct}}
var<workgroup> patches: array<{{.Shape.Result}}, {{mul .Subgroups .PatchSize}}>;
{{- end}}
{{range .Operands}}
{{- if $.Integer}}
{{- if or (not .AlongK) (not .Ternary)}}
{{template "bytes" .}}
{{- else}}
{{template "unpack" .}}
{{- end}}
{{- else}}
{{template "fetch" .}}

// The same with the factors of the operand.
fn scaled_{{.Name}}(row: u32, col: u32) -> vec4<f32> {
	var v = fetch_{{.Name}}(row, col);
{{- if .ScaleK}}
{{- if .AlongK}}
	v *= vec4<f32>(factor(col), factor(col + 1u), factor(col + 2u), factor(col + 3u));
{{- else}}
	v *= factor(row);
{{- end}}
{{- end}}
{{- if and $.Lift (eq .Name "a")}}
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

{{- $batch := .Batch}}{{$operand := .}}
// Fills the tile, with {{len $batch}} loads in flight.
fn fill_{{.Name}}(o0: u32, k0: u32, local: u32) {
{{- if .Rounds}}
	for (var i = local; i < {{.Units}}u; i += {{len $batch}}u * THREADS) {
{{- else}}
	let i = local;
	{
{{- end}}
{{- range $j := $batch}}
		let i_{{$j}} = i + {{$j}}u * THREADS;
{{- if not $operand.AlongK}}
		// Eight neighbours read 128 bytes of a row and the next eight another row, so that few of them write to one bank.
		let o_{{$j}} = 4u * (i_{{$j}} % 8u + i_{{$j}} / (2u * TILE_K) * 8u);
		let k_{{$j}} = i_{{$j}} / 8u % (TILE_K / 4u);
{{- else}}
		let o_{{$j}} = i_{{$j}} / (TILE_K / {{$operand.PerUnit}}u);
		let k_{{$j}} = i_{{$j}} % (TILE_K / {{$operand.PerUnit}}u);
{{- end}}
{{- if not $operand.AlongK}}
{{- if $.Integer}}
		let v_{{$j}} = block_{{$operand.Name}}(o0 + o_{{$j}}, k0 + 4u * k_{{$j}});
{{- else}}
		let v_{{$j}} = transpose(mat4x4<f32>({{range $r := seq 4}}scaled_{{$operand.Name}}(k0 + 4u * k_{{$j}} + {{$r}}u, o0 + o_{{$j}}), {{end}}));
{{- end}}
{{- else if not $.Integer}}
		let v_{{$j}} = scaled_{{$operand.Name}}(o0 + o_{{$j}}, k0 + 4u * k_{{$j}});
{{- else if $operand.Ternary}}
		var v_{{$j}} = 0x55555555u; // zeros
		if ({{if $operand.CheckRows}}o0 + o_{{$j}} < {{$operand.Rows}}u{{else}}true{{end}}{{if $operand.CheckCols}} && k0 / 16u + k_{{$j}} < {{$operand.Words}}u{{end}}) { v_{{$j}} = {{$operand.Name}}[(o0 + o_{{$j}}) * {{$operand.Words}}u + k0 / 16u + k_{{$j}}]; }
{{- else}}
		let v_{{$j}} = bytes_{{$operand.Name}}(o0 + o_{{$j}}, k0 + 4u * k_{{$j}});
{{- end}}
{{- end}}
{{- range $j := $batch}}
{{- if not $operand.AlongK}}{{range $r := seq 4}}
{{- if $.Integer}}
		tile_{{$operand.Name}}[(o_{{$j}} + {{$r}}u) * STRIDE_{{$operand.Name}} + k_{{$j}}] = bitcast<i32>(v_{{$j}}[{{$r}}]);
{{- else}}
		put_{{$operand.Name}}(o_{{$j}} + {{$r}}u, 4u * k_{{$j}}, v_{{$j}}[{{$r}}]);
{{- end}}{{end}}
{{- else if not $.Integer}}
		put_{{$operand.Name}}(o_{{$j}}, 4u * k_{{$j}}, v_{{$j}});
{{- else if $operand.Ternary}}{{range $r := seq 4}}
		tile_{{$operand.Name}}[o_{{$j}} * STRIDE_{{$operand.Name}} + 4u * k_{{$j}} + {{$r}}u] = bitcast<i32>(unpack(v_{{$j}} >> {{mul 8 $r}}u));
{{- end}}{{else}}
		tile_{{$operand.Name}}[o_{{$j}} * STRIDE_{{$operand.Name}} + k_{{$j}}] = bitcast<i32>(v_{{$j}});
{{- end}}
{{- end}}
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
{{- if not .Direct}}
{{template "store4" .}}
// Four neighbours of the sums that the subgroup has stored in workgroup memory.
fn patch_(i: u32) -> vec4<f32> {
	return vec4<f32>(vec4<{{.Shape.Result}}>(patches[i], patches[i + 1u], patches[i + 2u], patches[i + 3u])){{if .Lift}} / GAIN{{end}};
}
{{end}}
{{- $per := ""}}{{if .Integer}}{{$per = " / 4u"}}{{end}}
@compute @workgroup_size({{.Threads}}){{if .PinSubgroup}} @subgroup_size({{.Subgroup}}){{end}}
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
	@builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
	let m0 = group.y * TILE_M;
	let n0 = group.x * TILE_N;
	let sm = (subgroup / {{.SubN}}u) * {{mul .RegM .Shape.M}}u; // this subgroup's part of the tile
	let sn = (subgroup % {{.SubN}}u) * {{mul .RegN .Shape.N}}u;
{{- range $i := seq .RegM}}{{range $j := seq $.RegN}}
	var s{{$i}}_{{$j}}{{if and $.Direct $.Accumulate}} = subgroupMatrixLoad<Sums, row_major>(&c, (m0 + sm + {{mul $i $.Shape.M}}u) * N + n0 + sn + {{mul $j $.Shape.N}}u, N){{else}}: Sums{{end}};
{{- end}}{{end}}
	for (var k0 = 0u; k0 < K; k0 += TILE_K) {
		fill_a(m0, k0, local);
		fill_b(n0, k0, local);
		workgroupBarrier();
		for (var k = 0u; k < TILE_K; k += {{.Shape.K}}u) {
{{- range $i := seq .RegM}}
			let a{{$i}} = subgroupMatrixLoad<Left, row_major>(&tile_a, (sm + {{mul $i $.Shape.M}}u) * STRIDE_a + k{{$per}}, STRIDE_a);
{{- end}}
{{- range $j := seq .RegN}}
			{
				let b = subgroupMatrixLoad<Right, col_major>(&tile_b, (sn + {{mul $j $.Shape.N}}u) * STRIDE_b + k{{$per}}, STRIDE_b);
	{{- range $i := seq $.RegM}}
				s{{$i}}_{{$j}} = subgroupMatrixMultiplyAccumulate(a{{$i}}, b, s{{$i}}_{{$j}});
	{{- end}}
			}
{{- end}}
		}
		workgroupBarrier();
	}
{{- if .Direct}}
{{- range $i := seq .RegM}}{{range $j := seq $.RegN}}
	subgroupMatrixStore<row_major>(&c, (m0 + sm + {{mul $i $.Shape.M}}u) * N + n0 + sn + {{mul $j $.Shape.N}}u, s{{$i}}_{{$j}}, N);
{{- end}}{{end}}
{{- else}}
	// Invocations do not know which sums they hold, so each row of matrices goes through workgroup memory.
	let first = subgroup * {{.PatchSize}}u;
{{- range $i := seq .RegM}}
{{- range $j := seq $.RegN}}
	subgroupMatrixStore<row_major>(&patches, first + {{mul $j $.Shape.N}}u, s{{$i}}_{{$j}}, {{$.PatchWidth}}u);
{{- end}}
	workgroupBarrier();
	for (var i = 4u * lane; i < {{$.PatchSize}}u; i += {{mul 4 (mul (len $.StoreBatch) $.Subgroup)}}u) {
{{- range $j := $.StoreBatch}}
		let at_{{$j}} = i + {{mul 4 (mul $j $.Subgroup)}}u;
		let m_{{$j}} = m0 + sm + {{mul $i $.Shape.M}}u + at_{{$j}} / {{$.PatchWidth}}u;
		let n_{{$j}} = n0 + sn + at_{{$j}} % {{$.PatchWidth}}u;
		var v_{{$j}} = patch_(first + at_{{$j}});
{{- if not $.OddN}}
		if (inside(m_{{$j}}, n_{{$j}})) { v_{{$j}} = result(m_{{$j}}, n_{{$j}}, v_{{$j}}); }
{{- end}}
{{- end}}
{{- range $j := $.StoreBatch}}
{{- if $.OddN}}
		store(m_{{$j}}, n_{{$j}}, v_{{$j}});
{{- else}}
		if (inside(m_{{$j}}, n_{{$j}})) { c[(m_{{$j}} * N + n_{{$j}}) / 4u] = v_{{$j}}; } // after all loads
{{- end}}
{{- end}}
	}
	workgroupBarrier();
{{- end}}
{{- end}}
}
