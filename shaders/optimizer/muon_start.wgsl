// Third step: x[z] = factor[z] g(z), with the shorter side first.
//   places, g [all parameters], factor [matrices] -> x [matrices, R, C]
{{template "matrices" .}}
{{read "g: array<f32>"}}
{{read "factor: array<f32>"}}
{{write "x: array<f32>"}}
{{template "stored" .}}
{{template "index" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
	let i = index(id, groups);
	if (i >= {{.Count}}u * SIZE) { return; }
	let z = i / SIZE;
	x[i] = factor[z] * g[stored(z, i % SIZE)];
}
