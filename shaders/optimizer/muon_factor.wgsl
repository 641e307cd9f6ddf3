// Second step: factor[z] = 1 / (|g(z)| + 1e-7), by which all singular values come to lie in [0, 1].
//   part [matrices, PARTS] -> factor [matrices]; {{.Threads}} invocations a matrix
const PARTS = {{.Parts}}u;

{{read "part: array<f32>"}}
{{write "factor: array<f32>"}}
{{template "reduce" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
	let z = group.x + group.y * groups.x;
	if (z >= {{.Count}}u) { return; }
	var sum = 0.0;
	for (var i = lane; i < PARTS; i += LANES) { sum += part[z * PARTS + i]; }
	sum = total(lane, sum);
	if (lane == 0u) { factor[z] = 1.0 / (sqrt(sum) + 1e-7); }
}
