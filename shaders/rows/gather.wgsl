// A choice of rows: y[r, h] = x[rows[r], h].
//   rows [R] u32, x [T, H] -> y [R, H]; one invocation an element
const R = {{.Rows}}u;
const H = {{.Width}}u;

{{read "rows: array<u32>"}}
{{read "x: array<f32>"}}
{{write "y: array<f32>"}}
{{template "index" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
	let i = index(id, groups);
	if (i >= R * H) { return; }
	y[i] = x[rows[i / H] * H + i % H];
}
