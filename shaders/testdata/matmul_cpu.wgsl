// Matrix product:
//   c[m, n] = sum_k a(m, k) b(k, n)
//   a: f32, stored [6, 6]
//   b: f32, stored [6, 6]
//   a, b -> c [M, N]
// Sums of integers are exact here: every partial sum is below 2^24.
// Each invocation holds 4 x 4 sums and loads its operands itself.
const M = 6u;
const N = 6u;
const K = 6u;
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
// often returns n in a way that the compiler cannot see through, so that it does not unroll a loop up to n.
fn often(n: u32) -> u32 { return n + u32(arrayLength(&c) == 0u); }
// Four neighbours of one stored row of a [6, 6]; col is a multiple of 4.
fn fetch_a(row: u32, col: u32) -> vec4<f32> {
	if (row >= 6u) { return vec4<f32>(); }
	if (col >= 6u) { return vec4<f32>(); }
	var v = vec4<f32>();
	for (var i = 0u; i < often(4u); i++) {
		if (col + i < 6u) { v[i] = a[row * 6u + col + i]; }
	}
	return v;
}

// Column i holds a at o..o+3 for k + i.
fn block_a(o: u32, k: u32) -> mat4x4<f32> {
	let block = transpose(mat4x4<f32>(fetch_a(o, k), fetch_a(o + 1u, k), fetch_a(o + 2u, k), fetch_a(o + 3u, k)));
	return block;
}

// Four neighbours of one stored row of b [6, 6]; col is a multiple of 4.
fn fetch_b(row: u32, col: u32) -> vec4<f32> {
	if (row >= 6u) { return vec4<f32>(); }
	if (col >= 6u) { return vec4<f32>(); }
	var v = vec4<f32>();
	for (var i = 0u; i < often(4u); i++) {
		if (col + i < 6u) { v[i] = b[row * 6u + col + i]; }
	}
	return v;
}

// Column i holds b at o..o+3 for k + i.
fn block_b(o: u32, k: u32) -> mat4x4<f32> {
	let block = transpose(mat4x4<f32>(fetch_b(o, k), fetch_b(o + 1u, k), fetch_b(o + 2u, k), fetch_b(o + 3u, k)));
	return block;
}

fn inside(m: u32, n: u32) -> bool { return m < M && n < N; }

// Writes four neighbours of row m of the result.
fn store(m: u32, n: u32, sum: vec4<f32>) {
	if (!inside(m, n)) { return; }
	var v = sum;
	for (var i = 0u; i < often(4u); i++) {
		if (n + i >= N) { return; }
		
		c[m * N + n + i] = v[i];
	}
}

@compute @workgroup_size(4, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
	let m = id.y * 4u;
	let n = id.x * 4u;
	if (m >= M || n >= N) { return; }
	var s0_0 = vec4<f32>();
	var s1_0 = vec4<f32>();
	var s2_0 = vec4<f32>();
	var s3_0 = vec4<f32>();
	for (var k = 0u; k < K; k += 4u) {
		let a0 = block_a(m + 0u, k);
		let b0 = block_b(n + 0u, k);
		s0_0 += a0[0][0] * b0[0];
		s1_0 += a0[0][1] * b0[0];
		s2_0 += a0[0][2] * b0[0];
		s3_0 += a0[0][3] * b0[0];
		s0_0 += a0[1][0] * b0[1];
		s1_0 += a0[1][1] * b0[1];
		s2_0 += a0[1][2] * b0[1];
		s3_0 += a0[1][3] * b0[1];
		s0_0 += a0[2][0] * b0[2];
		s1_0 += a0[2][1] * b0[2];
		s2_0 += a0[2][2] * b0[2];
		s3_0 += a0[2][3] * b0[2];
		s0_0 += a0[3][0] * b0[3];
		s1_0 += a0[3][1] * b0[3];
		s2_0 += a0[3][2] * b0[3];
		s3_0 += a0[3][3] * b0[3];
	}
	var sums: array<vec4<f32>, 4>;
	sums[0] = s0_0;
	sums[1] = s1_0;
	sums[2] = s2_0;
	sums[3] = s3_0;
	for (var i = 0u; i < often(4u); i++) { store(m + i / 1u, n + 4u * (i % 1u), sums[i]); }
}
