// Matrix product for lavapipe:
//   c[m, n] = sum_k a(m, k) b(k, n) + c[m, n]
//   a: f32, stored [4, 8]
//   b: f32, stored [8, 8]
//   a, b -> c [M, N]
// All lanes of a workgroup share 4 rows of a, which are loaded once for all, and have 4 columns each. Sums past M or N
// are computed from whatever is in memory, and not stored.
const M = 4u;
const N = 8u;
const K = 8u;
const ROWS = 4u; // of sums, an invocation
const COLS = 4u;
@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> c: array<vec4<f32>>;

// The uniform table, table[i] = i: see gpu.UniformTable. Each function returns x, which must be the same in all
// invocations of a workgroup, and proves that to lavapipe's compiler. The compiler knows it of constants and push
// constants only; the second lookup shows it that the result of the first is a scalar.
var<push_constant> table: array<u32, 64>;
fn uniform1(x: u32) -> u32 { return table[table[x & 63u]]; }
fn uniform2(x: u32) -> u32 { return uniform1(x) + 64u * uniform1(x >> 6u); }
fn uniform3(x: u32) -> u32 { return uniform2(x) + 4096u * uniform1(x >> 12u); }

// often returns n in a way that the compiler cannot see through, so that it does not unroll a loop up to n.
// Loads and stores whose addresses differ between lanes take a lot of code, and time to compile, for each copy.
fn often(n: u32) -> u32 { return n * table[1]; }

// Writes four neighbours of row m of the result; m is uniform.
fn store(m: u32, n: u32, sum: vec4<f32>) {
	var v = sum;
	c[(m * N + n) / 4u] += v;
}

// A word of ternary codes w + 1 as two bits of two's complement each.
fn signed_codes(word: u32) -> u32 {
	let n = ~word;
	return (n & 0x55555555u) | (n & (n << 1u) & 0xaaaaaaaau);
}

@compute @workgroup_size(16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let m0 = uniform1(group.y) * ROWS;
	let n0 = (group.x * 16u + local) * COLS;
	var s0_0 = vec4<f32>();
	var s1_0 = vec4<f32>();
	var s2_0 = vec4<f32>();
	var s3_0 = vec4<f32>();
	for (var step = 0u; step < 2u; step++) {
		let k = uniform1(step);
		let a0 = a[(m0 + 0u) * (K / 4u) + k];
		let a1 = a[(m0 + 1u) * (K / 4u) + k];
		let a2 = a[(m0 + 2u) * (K / 4u) + k];
		let a3 = a[(m0 + 3u) * (K / 4u) + k];
		let row0 = b[(n0 + 0u) * (K / 4u) + step];
		let row1 = b[(n0 + 1u) * (K / 4u) + step];
		let row2 = b[(n0 + 2u) * (K / 4u) + step];
		let row3 = b[(n0 + 3u) * (K / 4u) + step];
		let b0_0 = vec4<f32>(row0[0], row1[0], row2[0], row3[0]);
		let b1_0 = vec4<f32>(row0[1], row1[1], row2[1], row3[1]);
		let b2_0 = vec4<f32>(row0[2], row1[2], row2[2], row3[2]);
		let b3_0 = vec4<f32>(row0[3], row1[3], row2[3], row3[3]);
		s0_0 = s0_0 + a0.x * b0_0 + a0.y * b1_0 + a0.z * b2_0 + a0.w * b3_0;
		s1_0 = s1_0 + a1.x * b0_0 + a1.y * b1_0 + a1.z * b2_0 + a1.w * b3_0;
		s2_0 = s2_0 + a2.x * b0_0 + a2.y * b1_0 + a2.z * b2_0 + a2.w * b3_0;
		s3_0 = s3_0 + a3.x * b0_0 + a3.y * b1_0 + a3.z * b2_0 + a3.w * b3_0;
	}
	var sums: array<vec4<f32>, 4>;
	sums[0] = s0_0;
	sums[1] = s1_0;
	sums[2] = s2_0;
	sums[3] = s3_0;
	if (n0 >= N) { return; }
	for (var i = 0u; i < min(often(ROWS), M - m0); i++) {
		let m = m0 + uniform1(i);
		store(m, n0 + 0u, sums[i * (COLS / 4u) + 0u]);
	}
}
