// Sum over rows, in a fixed order: y[c] += sum_r x[r, c].
//   x [R, C] -> y [C]; {{.Lanes}} invocations a column
const ROWS = {{.Rows}}u;
const COLS = {{.Cols}}u;
const LANES = {{.Lanes}}u;
const WIDTH = {{div .Threads .Lanes}}u; // columns of a workgroup

{{read "x: array<f32>"}}
{{write "y: array<f32>"}}
{{- if gt .Lanes 1}}
var<workgroup> sums: array<f32, {{.Threads}}>;
{{- end}}

@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let c = (group.x + group.y * groups.x) * WIDTH + local % WIDTH;
	var sum = 0.0;
	if (c < COLS) {
		for (var r = local / WIDTH; r < ROWS; r += LANES) { sum += x[r * COLS + c]; }
	}
{{- if gt .Lanes 1}}
	sums[local] = sum;
	workgroupBarrier();
	if (local >= WIDTH) { return; }
	for (var i = 1u; i < LANES; i++) { sum += sums[i * WIDTH + local]; }
{{- end}}
	if (c < COLS) { y[c] += sum; }
}
