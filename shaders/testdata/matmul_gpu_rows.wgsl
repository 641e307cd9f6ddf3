// Matrix product for a few rows of a, as when text is generated token by token. Its time is that of reading b, so b is
// read once and in order:
//   c[m, n] = rows[m] cols[n] sum_k a(m, k) b(k, n)
//   a: int8, stored [1, 32], four a u32
//   b: ternary, stored [8, 32], 16 a u32 as codes w + 1
//   a, b, rows [M], cols [N] -> c [M, N]
// 16 lanes share a column and go through its words together.
const M = 1u;
const N = 8u;
const WORDS = 2u; // of a row of b
const LANES = 16u;
const COLS = 8u; // a workgroup
@group(0) @binding(0) var<storage, read> a: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> b: array<u32>;
@group(0) @binding(2) var<storage, read> rows: array<f32>;
@group(0) @binding(3) var<storage, read> cols: array<f32>;
@group(0) @binding(4) var<storage, read_write> c: array<f32>;
var<workgroup> sums: array<i32, 128>;

// A word of ternary codes w + 1 as two bits of two's complement each.
fn signed_codes(word: u32) -> u32 {
	let n = ~word;
	return (n & 0x55555555u) | (n & (n << 1u) & 0xaaaaaaaau);
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let n = (group.x + group.y * groups.x) * COLS + local / LANES;
	let lane = local % LANES;
	let column = min(n, N - 1u) * WORDS;
	var s0 = 0;
	for (var k = lane; k < WORDS; k += LANES) {
		let word = signed_codes(b[column + k]);
		let w0 = i32(word << 30u) >> 30u;
		let w1 = i32(word << 28u) >> 30u;
		let w2 = i32(word << 26u) >> 30u;
		let w3 = i32(word << 24u) >> 30u;
		let w4 = i32(word << 22u) >> 30u;
		let w5 = i32(word << 20u) >> 30u;
		let w6 = i32(word << 18u) >> 30u;
		let w7 = i32(word << 16u) >> 30u;
		let w8 = i32(word << 14u) >> 30u;
		let w9 = i32(word << 12u) >> 30u;
		let w10 = i32(word << 10u) >> 30u;
		let w11 = i32(word << 8u) >> 30u;
		let w12 = i32(word << 6u) >> 30u;
		let w13 = i32(word << 4u) >> 30u;
		let w14 = i32(word << 2u) >> 30u;
		let w15 = i32(word << 0u) >> 30u;
		{
			let x = a[0u * WORDS + k];
			s0 += (i32(x.x << 24u) >> 24u) * w0;
			s0 += (i32(x.x << 16u) >> 24u) * w1;
			s0 += (i32(x.x << 8u) >> 24u) * w2;
			s0 += (i32(x.x << 0u) >> 24u) * w3;
			s0 += (i32(x.y << 24u) >> 24u) * w4;
			s0 += (i32(x.y << 16u) >> 24u) * w5;
			s0 += (i32(x.y << 8u) >> 24u) * w6;
			s0 += (i32(x.y << 0u) >> 24u) * w7;
			s0 += (i32(x.z << 24u) >> 24u) * w8;
			s0 += (i32(x.z << 16u) >> 24u) * w9;
			s0 += (i32(x.z << 8u) >> 24u) * w10;
			s0 += (i32(x.z << 0u) >> 24u) * w11;
			s0 += (i32(x.w << 24u) >> 24u) * w12;
			s0 += (i32(x.w << 16u) >> 24u) * w13;
			s0 += (i32(x.w << 8u) >> 24u) * w14;
			s0 += (i32(x.w << 0u) >> 24u) * w15;
		}
	}
	sums[0u * COLS * LANES + local] = s0;
	workgroupBarrier();
	for (var half = LANES / 2u; half > 0u; half /= 2u) {
		if (lane < half) {
			sums[0u * COLS * LANES + local] += sums[0u * COLS * LANES + local + half];
		}
		workgroupBarrier();
	}
	if (lane > 0u) { return; }
	s0 = sums[0u * COLS * LANES + local];
	if (n >= N) { return; }
	c[0u * N + n] = f32(s0) * rows[0] * cols[n];
}
