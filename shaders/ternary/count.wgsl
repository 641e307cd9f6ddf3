// How many weights of each row are -1, 0 and +1.
//   codes [N, ceil(K/16)] -> counts [N, 3]; one invocation a row
const N = {{.N}}u;
const K = {{.K}}u;
const WORDS = (K + 15u) / 16u;

{{read "codes: array<u32>"}}
{{write "counts: array<u32>"}}
{{template "index" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
	let n = index(id, groups);
	if (n >= N) { return; }
	var zeros = 0u;
	var ones = 0u;
	for (var i = 0u; i < WORDS; i++) {
		let word = codes[n * WORDS + i];
		zeros += countOneBits(word & 0x55555555u);
		ones += countOneBits(word & 0xaaaaaaaau);
	}
	zeros -= WORDS * 16u - K; // the padding
	counts[n * 3u] = K - zeros - ones;
	counts[n * 3u + 1u] = zeros;
	counts[n * 3u + 2u] = ones;
}
