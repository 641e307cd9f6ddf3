requires packed_4x8_integer_dot_product;
// Matrix product of int8 by int8 or ternary with dot products of four bytes, in integers:
//   c[m, n] = rows[m] cols[n] sum_k a(m, k) b(k, n) + residual[m, n]
//   a: int8, stored [64, 32], four a u32
//   b: ternary, stored [64, 32], 16 a u32 as codes w + 1
//   a, b, rows [M], cols [N], residual [M, N] -> c [M, N]
// Tiles of 64 x 64 a workgroup go through workgroup memory in slices of 64, four neighbours
// along k a word; each invocation holds 4 x 8 sums.
const M = 64u;
const N = 64u;
const K = 32u;
@group(0) @binding(0) var<storage, read> a: array<u32>;
@group(0) @binding(1) var<storage, read> b: array<u32>;
@group(0) @binding(2) var<storage, read> rows: array<f32>;
@group(0) @binding(3) var<storage, read> cols: array<f32>;
@group(0) @binding(4) var<storage, read> residual: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> c: array<vec4<f32>>;

// Four neighbours along k of one stored row, as bytes.
fn bytes_a(row: u32, col: u32) -> u32 {
	if (col >= 32u) { return 0u; }
	return a[row * 8u + col / 4u];
}

// Component i holds a at o + i for k..k+3.
fn block_a(o: u32, k: u32) -> vec4<u32> {
	return vec4<u32>(bytes_a(o, k), bytes_a(o + 1u, k), bytes_a(o + 2u, k), bytes_a(o + 3u, k));
}

// Four codes w + 1 of two bits become four bytes w.
fn unpack(codes: u32) -> u32 {
	var v = codes & 0xffu;
	v = (v | (v << 12u)) & 0x000f000fu;
	v = (v | (v << 6u)) & 0x03030303u;
	return ((v | 0x80808080u) - 0x01010101u) ^ 0x80808080u;
}

// Four neighbours along k of one stored row, as bytes.
fn bytes_b(row: u32, col: u32) -> u32 {
	if (col >= 32u) { return 0u; }
	return unpack(b[row * 2u + col / 16u] >> (2u * (col % 16u)));
}

// Component i holds b at o + i for k..k+3.
fn block_b(o: u32, k: u32) -> vec4<u32> {
	return vec4<u32>(bytes_b(o, k), bytes_b(o + 1u, k), bytes_b(o + 2u, k), bytes_b(o + 3u, k));
}

fn inside(m: u32, n: u32) -> bool { return true; }

// Four neighbours of row m of the result, from their sums.
fn result(m: u32, n: u32, sum: vec4<f32>) -> vec4<f32> {
	var v = sum;
	v *= rows[m];
	v *= vec4<f32>(cols[n], cols[n + 1u], cols[n + 2u], cols[n + 3u]);
	v += residual[(m * N + n) / 4u];
	return v;
}

fn store(m: u32, n: u32, sum: vec4<f32>) {
	if (inside(m, n)) { c[(m * N + n) / 4u] = result(m, n, sum); }
}

const TILE_M = 64u;
const TILE_N = 64u;
const TILE_K = 64u;
const ACROSS = TILE_K / 4u; // blocks of four by four along k in a tile
const BLOCKS_A = TILE_M / 4u * ACROSS;
const BLOCKS = BLOCKS_A + TILE_N / 4u * ACROSS;
alias Block = vec4<u32>;
var<workgroup> tile_a: array<vec4<u32>, 256>;

// The place of block i: x along k, y along the other side, in blocks. Neighbours write to different banks.
fn place_a(i: u32) -> vec2<u32> {
	return vec2<u32>(i / 8u % ACROSS, i % 8u + i / (8u * ACROSS) * 8u); // and read all of a row that is in a slice
}
var<workgroup> tile_b: array<vec4<u32>, 256>;

// The place of block i: x along k, y along the other side, in blocks. Neighbours write to different banks.
fn place_b(i: u32) -> vec2<u32> {
	return vec2<u32>(i / 8u % ACROSS, i % 8u + i / (8u * ACROSS) * 8u); // and read all of a row that is in a slice
}

// Block i of a in the slice that begins at k.
fn load_a(i: u32, m: u32, n: u32, k: u32) -> Block {
	let at = 4u * place_a(i);
	return block_a(m + at.y, k + at.x);
}

// Stores block i in the tile.
fn keep_a(i: u32, block: Block) {
	let at = place_a(i);
	tile_a[at.x * 16u + at.y] = block;
}

// Block i of b in the slice that begins at k.
fn load_b(i: u32, m: u32, n: u32, k: u32) -> Block {
	let at = 4u * place_b(i);
	return block_b(n + at.y, k + at.x);
}

// Stores block i in the tile.
fn keep_b(i: u32, block: Block) {
	let at = place_b(i);
	tile_b[at.x * 16u + at.y] = block;
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let m0 = group.y * TILE_M;
	let n0 = group.x * TILE_N;
	let am = local / (TILE_N / 8u); // rows am*4 + i*(TILE_M/1) of the tile: neighbours read neighbours
	let bn = local % (TILE_N / 8u);
	var s0_0 = vec4<i32>();
	var s0_1 = vec4<i32>();
	var s1_0 = vec4<i32>();
	var s1_1 = vec4<i32>();
	var s2_0 = vec4<i32>();
	var s2_1 = vec4<i32>();
	var s3_0 = vec4<i32>();
	var s3_1 = vec4<i32>();
	var block0 = load_a(local + 0u, m0, n0, 0u);
	var block1 = load_a(local + 128u, m0, n0, 0u);
	var block2 = load_b(local + 0u, m0, n0, 0u);
	var block3 = load_b(local + 128u, m0, n0, 0u);
	for (var k0 = 0u; k0 < K; k0 += TILE_K) {
		keep_a(local + 0u, block0);
		keep_a(local + 128u, block1);
		keep_b(local + 0u, block2);
		keep_b(local + 128u, block3);
		workgroupBarrier();
		if (k0 + TILE_K < K) { // load the next slice while this one is multiplied
			block0 = load_a(local + 0u, m0, n0, k0 + TILE_K);
			block1 = load_a(local + 128u, m0, n0, k0 + TILE_K);
			block2 = load_b(local + 0u, m0, n0, k0 + TILE_K);
			block3 = load_b(local + 128u, m0, n0, k0 + TILE_K);
		}
		for (var k = 0u; k < TILE_K / 4u; k++) {
			let a0 = tile_a[k * (TILE_M / 4u) + am + 0u * (TILE_M / 4u)];
			let b0 = tile_b[k * (TILE_N / 4u) + bn + 0u * (TILE_N / 8u)];
			let b1 = tile_b[k * (TILE_N / 4u) + bn + 1u * (TILE_N / 8u)];
			s0_0 += vec4<i32>(dot4I8Packed(a0.x, b0.x), dot4I8Packed(a0.x, b0.y), dot4I8Packed(a0.x, b0.z), dot4I8Packed(a0.x, b0.w));
			s0_1 += vec4<i32>(dot4I8Packed(a0.x, b1.x), dot4I8Packed(a0.x, b1.y), dot4I8Packed(a0.x, b1.z), dot4I8Packed(a0.x, b1.w));
			s1_0 += vec4<i32>(dot4I8Packed(a0.y, b0.x), dot4I8Packed(a0.y, b0.y), dot4I8Packed(a0.y, b0.z), dot4I8Packed(a0.y, b0.w));
			s1_1 += vec4<i32>(dot4I8Packed(a0.y, b1.x), dot4I8Packed(a0.y, b1.y), dot4I8Packed(a0.y, b1.z), dot4I8Packed(a0.y, b1.w));
			s2_0 += vec4<i32>(dot4I8Packed(a0.z, b0.x), dot4I8Packed(a0.z, b0.y), dot4I8Packed(a0.z, b0.z), dot4I8Packed(a0.z, b0.w));
			s2_1 += vec4<i32>(dot4I8Packed(a0.z, b1.x), dot4I8Packed(a0.z, b1.y), dot4I8Packed(a0.z, b1.z), dot4I8Packed(a0.z, b1.w));
			s3_0 += vec4<i32>(dot4I8Packed(a0.w, b0.x), dot4I8Packed(a0.w, b0.y), dot4I8Packed(a0.w, b0.z), dot4I8Packed(a0.w, b0.w));
			s3_1 += vec4<i32>(dot4I8Packed(a0.w, b1.x), dot4I8Packed(a0.w, b1.y), dot4I8Packed(a0.w, b1.z), dot4I8Packed(a0.w, b1.w));
		}
		workgroupBarrier();
	}
	store(m0 + 4u * (am + 0u * (TILE_M / 4u)) + 0u, n0 + 4u * (bn + 0u * (TILE_N / 8u)), vec4<f32>(s0_0));
	store(m0 + 4u * (am + 0u * (TILE_M / 4u)) + 0u, n0 + 4u * (bn + 1u * (TILE_N / 8u)), vec4<f32>(s0_1));
	store(m0 + 4u * (am + 0u * (TILE_M / 4u)) + 1u, n0 + 4u * (bn + 0u * (TILE_N / 8u)), vec4<f32>(s1_0));
	store(m0 + 4u * (am + 0u * (TILE_M / 4u)) + 1u, n0 + 4u * (bn + 1u * (TILE_N / 8u)), vec4<f32>(s1_1));
	store(m0 + 4u * (am + 0u * (TILE_M / 4u)) + 2u, n0 + 4u * (bn + 0u * (TILE_N / 8u)), vec4<f32>(s2_0));
	store(m0 + 4u * (am + 0u * (TILE_M / 4u)) + 2u, n0 + 4u * (bn + 1u * (TILE_N / 8u)), vec4<f32>(s2_1));
	store(m0 + 4u * (am + 0u * (TILE_M / 4u)) + 3u, n0 + 4u * (bn + 0u * (TILE_N / 8u)), vec4<f32>(s3_0));
	store(m0 + 4u * (am + 0u * (TILE_M / 4u)) + 3u, n0 + 4u * (bn + 1u * (TILE_N / 8u)), vec4<f32>(s3_1));
}
