{{- if eq .Shape.Component "f16"}}enable f16;
{{end}}enable subgroups;
enable chromium_experimental_subgroup_matrix;
{{- if .PinSubgroup}}
enable subgroup_size_control;
{{- end}}
// How fast an adapter's matrix units multiply {{.Shape}}: each subgroup holds two factors of each side
// and four matrices of sums, sums += left right. The results are useless; y is written only if a sum has a value
// that it cannot have.
{{write "y: array<%s>" .Shape.Result}}

alias Left = subgroup_matrix_left<{{.Shape.Component}}, {{.Shape.K}}, {{.Shape.M}}>;
alias Right = subgroup_matrix_right<{{.Shape.Component}}, {{.Shape.N}}, {{.Shape.K}}>;
alias Sums = subgroup_matrix_result<{{.Shape.Result}}, {{.Shape.N}}, {{.Shape.M}}>;
{{- $element := "f16"}}{{if eq .Shape.Component "i8"}}{{$element = "i32"}}{{end}}
var<workgroup> factors: array<{{$element}}, {{.Factors}}>;
var<workgroup> sums: array<{{.Shape.Result}}, {{mul .Subgroups (mul .Shape.M .Shape.N)}}>;

@compute @workgroup_size({{.Threads}}){{if .PinSubgroup}} @subgroup_size({{.Subgroup}}){{end}}
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32, @builtin(subgroup_id) subgroup: u32) {
	for (var i = local; i < {{.Factors}}u; i += {{.Threads}}u) { factors[i] = {{$element}}(y[i % 2u]); }
	workgroupBarrier();
	let a0 = subgroupMatrixLoad<Left, row_major>(&factors, 0u, {{.StrideK}}u);
	let a1 = subgroupMatrixLoad<Left, row_major>(&factors, {{.StrideK}}u, {{.StrideK}}u);
	let b0 = subgroupMatrixLoad<Right, col_major>(&factors, 0u, {{.StrideK}}u);
	let b1 = subgroupMatrixLoad<Right, col_major>(&factors, {{.StrideK}}u, {{.StrideK}}u);
	var s0: Sums;
	var s1: Sums;
	var s2: Sums;
	var s3: Sums;
	for (var i = 0u; i < {{.Steps}}u; i++) {
		s0 = subgroupMatrixMultiplyAccumulate(a0, b0, s0);
		s1 = subgroupMatrixMultiplyAccumulate(a0, b1, s1);
		s2 = subgroupMatrixMultiplyAccumulate(a1, b0, s2);
		s3 = subgroupMatrixMultiplyAccumulate(a1, b1, s3);
	}
	let at = subgroup * {{mul .Shape.M .Shape.N}}u;
{{- range $i := seq 4}}
	subgroupMatrixStore<row_major>(&sums, at, s{{$i}}, {{$.Shape.N}}u);
	workgroupBarrier();
	if (sums[local % {{mul $.Subgroups (mul $.Shape.M $.Shape.N)}}u] == {{if eq $.Shape.Result "i32"}}1234567{{else}}12345.0{{end}}) { y[2] = sums[at]; }
	workgroupBarrier();
{{- end}}
}
