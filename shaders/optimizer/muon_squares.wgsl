// First of the steps around the Newton-Schulz iteration: partial sums of squares of each matrix,
// part[z, i] = sum over j = i mod PARTS of g(z)[j]^2.
//   places, g [all parameters] -> part [matrices, PARTS]; {{.Lanes}} invocations a part
{{template "matrices" .}}
const PARTS = {{.Parts}}u;

{{read "g: array<f32>"}}
{{write "part: array<f32>"}}
{{template "reduce" .}}
{{template "row" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let row = row_of(group, groups, local);
	if (row >= {{.Count}}u * PARTS) { return; }
	let lane = local % LANES;
	let at = places[row / PARTS].at;
	var sum = 0.0;
	for (var i = row % PARTS * LANES + lane; i < SIZE; i += PARTS * LANES) {
		let v = g[at + i];
		sum += v * v;
	}
	sum = total(lane, sum);
	if (lane == 0u) { part[row] = sum; }
}
