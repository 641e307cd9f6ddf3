// Last of three steps: code = clamp(round(w / scale), -1, 1) + 1, round half to even.
//   places, w [all weights], scale [all rows] -> codes [all rows, ceil(K/16)] u32, 16 codes a word from the low bits,
//   code 1 (zero) past K
// 256 invocations a chunk; each takes whole words.
// Many projections are quantised at once. A chunk is some rows of one projection. Weights, words of codes, scales
// and parts are counted from the start of what is bound.
struct Chunk { weight: u32, code: u32, scale: u32, rows: u32, k: u32 }
struct Projection { part: u32, parts: u32, scale: u32, rows: u32, k: u32 }
struct Places { chunks: array<Chunk, 2>, projections: array<Projection, 2> }
@group(0) @binding(0) var<storage, read> places: Places;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read_write> codes: array<u32>;
const LANES = 256u;
var<workgroup> shared_lanes: array<f32, 256>;

fn total(lane: u32, v: f32) -> f32 {
	shared_lanes[lane] = v;
	workgroupBarrier();
	for (var half = LANES / 2u; half > 0u; half /= 2u) {
		if (lane < half) { shared_lanes[lane] += shared_lanes[lane + half]; }
		workgroupBarrier();
	}
	let sum = shared_lanes[0];
	workgroupBarrier();
	return sum;
}

fn largest(lane: u32, v: f32) -> f32 {
	shared_lanes[lane] = v;
	workgroupBarrier();
	for (var half = LANES / 2u; half > 0u; half /= 2u) {
		if (lane < half) { shared_lanes[lane] = max(shared_lanes[lane], shared_lanes[lane + half]); }
		workgroupBarrier();
	}
	let m = shared_lanes[0];
	workgroupBarrier();
	return m;
}

// The row of this invocation: 256 lanes a row, 1 rows a workgroup.
fn row_of(group: vec3<u32>, groups: vec3<u32>, local: u32) -> u32 {
	let g = group.x + group.y * groups.x;
	return g;
}
fn rolled(n: u32, row: u32) -> u32 { return n; }

// The codes of four weights, which are given in units of the scale. Up to a half rounds to 0.
fn four(x: vec4<f32>) -> u32 {
	let c = select(select(vec4<u32>(1u), vec4<u32>(0u), x < vec4<f32>(-0.5)), vec4<u32>(2u), x > vec4<f32>(0.5));
	return c.x | (c.y << 2u) | (c.z << 4u) | (c.w << 6u);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let row = row_of(group, groups, local);
	if (row >= 2u) { return; }
	let lane = local % LANES;
	let chunk = places.chunks[row];
	let s = 1.0 / scale[chunk.scale];
	let words = (chunk.k + 15u) / 16u;
	for (var i = lane; i < chunk.rows * words; i += LANES) {
		let at = chunk.weight / 4u + i * 4u;
		codes[chunk.code + i] = four(w[at] * s) | (four(w[at + 1u] * s) << 8u) | (four(w[at + 2u] * s) << 16u) | (four(w[at + 3u] * s) << 24u);
	}
}
