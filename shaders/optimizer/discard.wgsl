// Begins the sums of a step again: the gradients of a range of the flat parameters and the loss become zero.
//   g [N], state (loss); one invocation a V
{{template "vector" .}}
const N = {{div .N .Each}}u; // of V

{{write "g: array<V>"}}
{{write "state: array<f32>"}}
{{template "index" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
	let i = index(id, groups);
	if (i == 0u) { state[{{.Loss}}] = 0.0; }
	if (i >= N) { return; }
	g[i] = V(0.0);
}
