// Absmean ternary quantisation (BitNet b1.58): code = clamp(round(w / scale[n]), -1, 1) + 1, round half to even.
//   w [N, K], scale [N] -> codes [N, ceil(K/16)] u32, 16 a word from the low bits, code 1 (zero) past K
// One invocation a word.
const N = {{.N}}u;
const K = {{.K}}u;
const WORDS = (K + 15u) / 16u;

@group(0) @binding(0) var<storage, read> w: array<f32>;
@group(0) @binding(1) var<storage, read> scale: array<f32>;
@group(0) @binding(2) var<storage, read_write> codes: array<u32>;
{{template "index" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
	let i = index(id, groups);
	if (i >= N * WORDS) { return; }
	let n = i / WORDS;
	let k0 = (i % WORDS) * 16u;
	let s = 1.0 / scale[n];
	var word = 0u;
	for (var k = 0u; k < 16u; k++) {
		var code = 1u;
		if (k0 + k < K) { code = u32(clamp(round(w[n * K + k0 + k] * s), -1.0, 1.0) + 1.0); }
		word |= code << (2u * k);
	}
	codes[i] = word;
}
