// Weights part of the way to their ternary form, with r = step[RAMP]:
//   y[n, k] = (1 - r) w[n, k] + r scale[n] (code[n, k] - 1)
//   w [N, K], codes [N, ceil(K/16)] u32, scale [N], step -> y [N, K]; one invocation a weight
const N = {{.N}}u;
const K = {{.K}}u;
const WORDS = (K + 15u) / 16u;

{{read "w: array<f32>"}}
{{read "codes: array<u32>"}}
{{read "scale: array<f32>"}}
{{read "step: array<f32>"}}
{{write "y: array<f32>"}}
{{template "index" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
	let i = index(id, groups);
	if (i >= N * K) { return; }
	let n = i / K;
	let k = i % K;
	let code = (codes[n * WORDS + k / 16u] >> (2u * (k % 16u))) & 3u;
	let r = step[{{.Ramp}}];
	y[i] = (1.0 - r) * w[i] + r * ((f32(code) - 1.0) * scale[n]);
}
