// Matrix product:
//   c[m, n] = sum_k a(m, k) b(k, n)
//   a: f32, stored [4, 4]
//   b: f32, stored [4, 8]
//   a, b -> c [M, N]; 2 of each, one after another
// Sums of integers are exact here: every partial sum is below 2^24.
// Tiles of 64 x 64 a workgroup go through workgroup memory in slices of 16; each
// invocation holds 4 x 8 sums.
const M = 4u;
const N = 8u;
const K = 4u;
var<private> number: u32; // of this product in the batch
@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> c: array<vec4<f32>>;
// Four neighbours of one stored row of a [4, 4]; col is a multiple of 4.
fn fetch_a(row: u32, col: u32) -> vec4<f32> {
	if (row >= 4u) { return vec4<f32>(); }
	if (col >= 4u) { return vec4<f32>(); }
	let at = number * 4u + row;
	return a[at * (4u / 4u) + col / 4u];
}

// Column i holds a at o..o+3 for k + i.
fn block_a(o: u32, k: u32) -> mat4x4<f32> {
	let block = transpose(mat4x4<f32>(fetch_a(o, k), fetch_a(o + 1u, k), fetch_a(o + 2u, k), fetch_a(o + 3u, k)));
	return block;
}

// Four neighbours of one stored row of b [4, 8]; col is a multiple of 4.
fn fetch_b(row: u32, col: u32) -> vec4<f32> {
	if (row >= 4u) { return vec4<f32>(); }
	if (col >= 8u) { return vec4<f32>(); }
	let at = number * 4u + row;
	return b[at * (8u / 4u) + col / 4u];
}

// Column i holds b at o..o+3 for k + i.
fn block_b(o: u32, k: u32) -> mat4x4<f32> {
	let block = mat4x4<f32>(fetch_b(k, o), fetch_b(k + 1u, o), fetch_b(k + 2u, o), fetch_b(k + 3u, o));
	return block;
}

fn inside(m: u32, n: u32) -> bool { return m < M && n < N; }

// Four neighbours of row m of the result, from their sums.
fn result(m: u32, n: u32, sum: vec4<f32>) -> vec4<f32> {
	var v = sum;
	return v;
}

fn store(m: u32, n: u32, sum: vec4<f32>) {
	if (inside(m, n)) { c[((number * M + m) * N + n) / 4u] = result(m, n, sum); }
}

const TILE_M = 64u;
const TILE_N = 64u;
const TILE_K = 16u;
const ACROSS = TILE_K / 4u; // blocks of four by four along k in a tile
const BLOCKS_A = TILE_M / 4u * ACROSS;
const BLOCKS = BLOCKS_A + TILE_N / 4u * ACROSS;
alias Block = mat4x4<f32>;
var<workgroup> tile_a: array<vec4<f32>, 256>;

// The place of block i: x along k, y along the other side, in blocks. Neighbours write to different banks.
fn place_a(i: u32) -> vec2<u32> {
	return vec2<u32>(i / 8u % ACROSS, i % 8u + i / (8u * ACROSS) * 8u); // and read all of a row that is in a slice
}
var<workgroup> tile_b: array<vec4<f32>, 256>;

// The place of block i: x along k, y along the other side, in blocks. Neighbours write to different banks.
fn place_b(i: u32) -> vec2<u32> {
	return vec2<u32>(i / 16u, i % 16u);
}

// Block i of a in the slice that begins at k.
fn load_a(i: u32, m: u32, n: u32, k: u32) -> Block {
	let at = 4u * place_a(i);
	return block_a(m + at.y, k + at.x);
}

// Stores block i in the tile.
fn keep_a(i: u32, block: Block) {
	let at = place_a(i);
	tile_a[(4u * at.x + 0u) * 16u + at.y] = block[0];
	tile_a[(4u * at.x + 1u) * 16u + at.y] = block[1];
	tile_a[(4u * at.x + 2u) * 16u + at.y] = block[2];
	tile_a[(4u * at.x + 3u) * 16u + at.y] = block[3];
}

// Block i of b in the slice that begins at k.
fn load_b(i: u32, m: u32, n: u32, k: u32) -> Block {
	let at = 4u * place_b(i);
	return block_b(n + at.y, k + at.x);
}

// Stores block i in the tile.
fn keep_b(i: u32, block: Block) {
	let at = place_b(i);
	tile_b[(4u * at.x + 0u) * 16u + at.y] = block[0];
	tile_b[(4u * at.x + 1u) * 16u + at.y] = block[1];
	tile_b[(4u * at.x + 2u) * 16u + at.y] = block[2];
	tile_b[(4u * at.x + 3u) * 16u + at.y] = block[3];
}

// The same where some invocations have blocks of a and some of b.
fn load_(i: u32, m: u32, n: u32, k: u32) -> Block {
	if (i < BLOCKS_A) { return load_a(i, m, n, k); }
	return load_b(i - BLOCKS_A, m, n, k);
}

fn keep_(i: u32, block: Block) {
	if (i < BLOCKS_A) { keep_a(i, block); } else { keep_b(i - BLOCKS_A, block); }
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	number = group.z;
	let m0 = group.y * TILE_M;
	let n0 = group.x * TILE_N;
	let am = local / (TILE_N / 8u); // rows am*4 + i*(TILE_M/1) of the tile: neighbours read neighbours
	let bn = local % (TILE_N / 8u);
	var s0_0 = vec4<f32>();
	var s0_1 = vec4<f32>();
	var s1_0 = vec4<f32>();
	var s1_1 = vec4<f32>();
	var s2_0 = vec4<f32>();
	var s2_1 = vec4<f32>();
	var s3_0 = vec4<f32>();
	var s3_1 = vec4<f32>();
	var block0 = load_(local + 0u, m0, n0, 0u);
	for (var k0 = 0u; k0 < K; k0 += TILE_K) {
		keep_(local + 0u, block0);
		workgroupBarrier();
		if (k0 + TILE_K < K) { // load the next slice while this one is multiplied
			block0 = load_(local + 0u, m0, n0, k0 + TILE_K);
		}
		for (var k = 0u; k < TILE_K; k++) {
			let a0 = tile_a[k * (TILE_M / 4u) + am + 0u * (TILE_M / 4u)];
			let b0 = tile_b[k * (TILE_N / 4u) + bn + 0u * (TILE_N / 8u)];
			let b1 = tile_b[k * (TILE_N / 4u) + bn + 1u * (TILE_N / 8u)];
			s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
			s0_1 = fma(vec4<f32>(a0.x), b1, s0_1);
			s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
			s1_1 = fma(vec4<f32>(a0.y), b1, s1_1);
			s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
			s2_1 = fma(vec4<f32>(a0.z), b1, s2_1);
			s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
			s3_1 = fma(vec4<f32>(a0.w), b1, s3_1);
		}
		workgroupBarrier();
	}
	store(m0 + 4u * (am + 0u * (TILE_M / 4u)) + 0u, n0 + 4u * (bn + 0u * (TILE_N / 8u)), s0_0);
	store(m0 + 4u * (am + 0u * (TILE_M / 4u)) + 0u, n0 + 4u * (bn + 1u * (TILE_N / 8u)), s0_1);
	store(m0 + 4u * (am + 0u * (TILE_M / 4u)) + 1u, n0 + 4u * (bn + 0u * (TILE_N / 8u)), s1_0);
	store(m0 + 4u * (am + 0u * (TILE_M / 4u)) + 1u, n0 + 4u * (bn + 1u * (TILE_N / 8u)), s1_1);
	store(m0 + 4u * (am + 0u * (TILE_M / 4u)) + 2u, n0 + 4u * (bn + 0u * (TILE_N / 8u)), s2_0);
	store(m0 + 4u * (am + 0u * (TILE_M / 4u)) + 2u, n0 + 4u * (bn + 1u * (TILE_N / 8u)), s2_1);
	store(m0 + 4u * (am + 0u * (TILE_M / 4u)) + 3u, n0 + 4u * (bn + 0u * (TILE_N / 8u)), s3_0);
	store(m0 + 4u * (am + 0u * (TILE_M / 4u)) + 3u, n0 + 4u * (bn + 1u * (TILE_N / 8u)), s3_1);
}
