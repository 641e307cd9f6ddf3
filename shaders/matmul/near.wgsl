// The largest values of a product exactly, after b was rounded to int8 by rows:
//   c[m, n] = sum_k a[m, k] b[n, k] wherever c[m, n] + bound[m, 1] scale[n] >= bound[m, 0]; the rest stays as it is
//   a [M, K], b [N, K], scale [N], bound [M, 2] -> c [M, N]
// {{if gt .Lanes 1}}{{.Lanes}} lanes share a column.{{else}}A lane has {{.Columns}} columns, one after another.{{end}}
const N = {{.N}}u;
const WORDS = {{.Words}}u; // vec4 of a row
const LANES = {{.Lanes}}u;
const COLUMNS = {{.Columns}}u;
const EACH = {{.Each}}u; // columns of a workgroup at once
{{read "a: array<vec4<f32>>"}}
{{read "b: array<vec4<f32>>"}}
{{read "scale: array<f32>"}}
{{read "bound: array<f32>"}}
{{write "c: array<f32>"}}
{{- if gt .Lanes 1}}
var<workgroup> sums: array<f32, {{.Threads}}>;
{{- end}}

@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let m = group.y;
	let lane = local % LANES;
	for (var i = 0u; i < COLUMNS; i++) {
		let n = (group.x * COLUMNS + i) * EACH + local / LANES;
		let at = m * N + min(n, N - 1u);
		let near = n < N && c[at] + bound[2u * m + 1u] * scale[min(n, N - 1u)] >= bound[2u * m];
		let words = select(0u, WORDS, near); // none, so that a workgroup without such a column is done at once
		var sum = 0.0;
		for (var k = lane; k < words; k += LANES) { sum += dot(a[m * WORDS + k], b[n * WORDS + k]); }
{{- if gt .Lanes 1}}
		sums[local] = sum;
		workgroupBarrier();
		if (near && lane == 0u) {
			for (var j = 1u; j < LANES; j++) { sum += sums[local + j]; }
			c[at] = sum;
		}
{{- else}}
		if (near) { c[at] = sum; }
{{- end}}
	}
}
