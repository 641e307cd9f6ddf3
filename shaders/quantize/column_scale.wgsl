// The scale of each column's int8 form: scale[n] = max(max_b part[b, n], {{f32 .Floor}}) / 127
//   part [B, N] -> scale [N]; one invocation a column
const B = {{.Blocks}}u;
const N = {{.Width}}u;

{{read "part: array<f32>"}}
{{write "scale: array<f32>"}}
{{template "index" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
	let n = index(id, groups);
	if (n >= N) { return; }
	var m = {{f32 .Floor}};
	for (var b = 0u; b < B; b++) { m = max(m, part[b * N + n]); }
	scale[n] = m / 127.0;
}
