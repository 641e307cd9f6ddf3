enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
// Matrix product on matrix units, which multiply 16x16x16 f16 to f32 at once:
//   c[m, n] = sum_k a(m, k) b(k, n) + c[m, n]
//   a: f32, stored [64, 32]
//   b: f32, stored [64, 32]
//   a, b -> c [M, N]
// A workgroup computes 64 x 64 of the result. Slices of 32 of both operands are rounded to f16 in
// workgroup memory, with rows along k however they are stored, so that each invocation finds its part of a matrix in a
// few words. Each of 2 x 2 subgroups holds 2 x 2 matrices of sums.
// Products are exact and sums are f32; the error is that of rounding the operands to 11 bits.
const M = 64u;
const N = 64u;
const K = 32u;
@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
const TILE_M = 64u;
const TILE_N = 64u;
const TILE_K = 32u;
const THREADS = 128u;
alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Sums = subgroup_matrix_result<f32, 16, 16>;
const STRIDE_a = 40u; // elements from one row of tile_a to the next
var<workgroup> tile_a: array<f16, 2560>;
const STRIDE_b = 40u; // elements from one row of tile_b to the next
var<workgroup> tile_b: array<f16, 2560>;

// Four neighbours of one stored row of a [64, 32]; col is a multiple of 4.
fn fetch_a(row: u32, col: u32) -> vec4<f32> {
	return a[row * (32u / 4u) + col / 4u];
}

// The same with the factors of the operand.
fn scaled_a(row: u32, col: u32) -> vec4<f32> {
	var v = fetch_a(row, col);
	return v;
}

fn put_a(o: u32, k: u32, v: vec4<f32>) {
	let h = vec4<f16>(v);
	let to = o * STRIDE_a + k;
	tile_a[to] = h.x;
	tile_a[to + 1u] = h.y;
	tile_a[to + 2u] = h.z;
	tile_a[to + 3u] = h.w;
}
// Fills the tile, with 4 loads in flight.
fn fill_a(o0: u32, k0: u32, local: u32) {
	let i = local;
	{
		let i_0 = i + 0u * THREADS;
		let o_0 = i_0 / (TILE_K / 4u);
		let k_0 = i_0 % (TILE_K / 4u);
		let v_0 = scaled_a(o0 + o_0, k0 + 4u * k_0);
		let i_1 = i + 1u * THREADS;
		let o_1 = i_1 / (TILE_K / 4u);
		let k_1 = i_1 % (TILE_K / 4u);
		let v_1 = scaled_a(o0 + o_1, k0 + 4u * k_1);
		let i_2 = i + 2u * THREADS;
		let o_2 = i_2 / (TILE_K / 4u);
		let k_2 = i_2 % (TILE_K / 4u);
		let v_2 = scaled_a(o0 + o_2, k0 + 4u * k_2);
		let i_3 = i + 3u * THREADS;
		let o_3 = i_3 / (TILE_K / 4u);
		let k_3 = i_3 % (TILE_K / 4u);
		let v_3 = scaled_a(o0 + o_3, k0 + 4u * k_3);
		put_a(o_0, 4u * k_0, v_0);
		put_a(o_1, 4u * k_1, v_1);
		put_a(o_2, 4u * k_2, v_2);
		put_a(o_3, 4u * k_3, v_3);
	}
}

// Four neighbours of one stored row of b [64, 32]; col is a multiple of 4.
fn fetch_b(row: u32, col: u32) -> vec4<f32> {
	return b[row * (32u / 4u) + col / 4u];
}

// The same with the factors of the operand.
fn scaled_b(row: u32, col: u32) -> vec4<f32> {
	var v = fetch_b(row, col);
	return v;
}

fn put_b(o: u32, k: u32, v: vec4<f32>) {
	let h = vec4<f16>(v);
	let to = o * STRIDE_b + k;
	tile_b[to] = h.x;
	tile_b[to + 1u] = h.y;
	tile_b[to + 2u] = h.z;
	tile_b[to + 3u] = h.w;
}
// Fills the tile, with 4 loads in flight.
fn fill_b(o0: u32, k0: u32, local: u32) {
	let i = local;
	{
		let i_0 = i + 0u * THREADS;
		let o_0 = i_0 / (TILE_K / 4u);
		let k_0 = i_0 % (TILE_K / 4u);
		let v_0 = scaled_b(o0 + o_0, k0 + 4u * k_0);
		let i_1 = i + 1u * THREADS;
		let o_1 = i_1 / (TILE_K / 4u);
		let k_1 = i_1 % (TILE_K / 4u);
		let v_1 = scaled_b(o0 + o_1, k0 + 4u * k_1);
		let i_2 = i + 2u * THREADS;
		let o_2 = i_2 / (TILE_K / 4u);
		let k_2 = i_2 % (TILE_K / 4u);
		let v_2 = scaled_b(o0 + o_2, k0 + 4u * k_2);
		let i_3 = i + 3u * THREADS;
		let o_3 = i_3 / (TILE_K / 4u);
		let k_3 = i_3 % (TILE_K / 4u);
		let v_3 = scaled_b(o0 + o_3, k0 + 4u * k_3);
		put_b(o_0, 4u * k_0, v_0);
		put_b(o_1, 4u * k_1, v_1);
		put_b(o_2, 4u * k_2, v_2);
		put_b(o_3, 4u * k_3, v_3);
	}
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
	@builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
	let m0 = group.y * TILE_M;
	let n0 = group.x * TILE_N;
	let sm = (subgroup / 2u) * 32u; // this subgroup's part of the tile
	let sn = (subgroup % 2u) * 32u;
	var s0_0 = subgroupMatrixLoad<Sums, row_major>(&c, (m0 + sm + 0u) * N + n0 + sn + 0u, N);
	var s0_1 = subgroupMatrixLoad<Sums, row_major>(&c, (m0 + sm + 0u) * N + n0 + sn + 16u, N);
	var s1_0 = subgroupMatrixLoad<Sums, row_major>(&c, (m0 + sm + 16u) * N + n0 + sn + 0u, N);
	var s1_1 = subgroupMatrixLoad<Sums, row_major>(&c, (m0 + sm + 16u) * N + n0 + sn + 16u, N);
	for (var k0 = 0u; k0 < K; k0 += TILE_K) {
		fill_a(m0, k0, local);
		fill_b(n0, k0, local);
		workgroupBarrier();
		for (var k = 0u; k < TILE_K; k += 16u) {
			let a0 = subgroupMatrixLoad<Left, row_major>(&tile_a, (sm + 0u) * STRIDE_a + k, STRIDE_a);
			let a1 = subgroupMatrixLoad<Left, row_major>(&tile_a, (sm + 16u) * STRIDE_a + k, STRIDE_a);
			{
				let b = subgroupMatrixLoad<Right, col_major>(&tile_b, (sn + 0u) * STRIDE_b + k, STRIDE_b);
				s0_0 = subgroupMatrixMultiplyAccumulate(a0, b, s0_0);
				s1_0 = subgroupMatrixMultiplyAccumulate(a1, b, s1_0);
			}
			{
				let b = subgroupMatrixLoad<Right, col_major>(&tile_b, (sn + 16u) * STRIDE_b + k, STRIDE_b);
				s0_1 = subgroupMatrixMultiplyAccumulate(a0, b, s0_1);
				s1_1 = subgroupMatrixMultiplyAccumulate(a1, b, s1_1);
			}
		}
		workgroupBarrier();
	}
	subgroupMatrixStore<row_major>(&c, (m0 + sm + 0u) * N + n0 + sn + 0u, s0_0, N);
	subgroupMatrixStore<row_major>(&c, (m0 + sm + 0u) * N + n0 + sn + 16u, s0_1, N);
	subgroupMatrixStore<row_major>(&c, (m0 + sm + 16u) * N + n0 + sn + 0u, s1_0, N);
	subgroupMatrixStore<row_major>(&c, (m0 + sm + 16u) * N + n0 + sn + 16u, s1_1, N);
}
