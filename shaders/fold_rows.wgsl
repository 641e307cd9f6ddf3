// Sum over rows, in order: y[c] += sum_r x[r, c].
//   x [R, C] -> y [C]; one invocation a column
const ROWS = {{.Rows}}u;
const COLS = {{.Cols}}u;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
{{template "index" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
	let c = index(id, groups);
	if (c >= COLS) { return; }
	var sum = 0.0;
	for (var r = 0u; r < ROWS; r++) { sum += x[r * COLS + c]; }
	y[c] += sum;
}
