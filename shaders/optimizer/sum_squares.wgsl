// Partial sums of squares: part[i] = sum over j = i mod PARTS of x[j]^2, for the global gradient norm.
//   x [N] -> part [PARTS], a range of a longer list; {{.Lanes}} invocations a part
const N = {{.N}}u;
const PARTS = {{.Parts}}u;
const AT = {{.At}}u;

{{read "x: array<f32>"}}
{{write "part: array<f32>"}}
{{template "reduce" .}}
{{template "row" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let row = row_of(group, groups, local);
	if (row >= PARTS) { return; }
	let lane = local % LANES;
	var sum = 0.0;
	for (var i = row * LANES + lane; i < N; i += PARTS * LANES) { sum += x[i] * x[i]; }
	sum = total(lane, sum);
	if (lane == 0u) { part[AT + row] = sum; }
}
