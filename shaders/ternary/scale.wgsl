// Second of three steps: every row of a projection gets the scale max(mean |w|, 1e-5) of the whole projection.
//   places, part [chunks] -> scale [all rows]; {{.Threads}} invocations a projection
{{template "places" .}}
{{read "part: array<f32>"}}
{{write "scale: array<f32>"}}
{{template "reduce" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
	let i = group.x + group.y * groups.x;
	if (i >= {{.Projections}}u) { return; }
	let p = places.projections[i];
	var sum = 0.0;
	for (var j = lane; j < p.parts; j += LANES) { sum += part[p.part + j]; }
	let mean = max(total(lane, sum) / f32(p.rows * p.k), 1e-5);
	for (var n = lane; n < p.rows; n += LANES) { scale[p.scale + n] = mean; }
}
