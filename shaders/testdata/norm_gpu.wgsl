// RMSNorm: y[t, h] = x[t, h] * w[h] / sqrt(mean_h x[t, h]^2 + eps)
//   of a gated activation x[t, h] = act(gu[t, h]) gu[t, H + h], which is not stored, act = x / (1 + exp(-x))
//   gu [T, 2H] (gate, then up), w [H] -> rstd [T] (the reciprocal root, for the gradient), and
// per-token absmax int8 quantisation of y (BitNet b1.58): s = 127 / max(absmax_h |y|, 1e-5),
// q = clamp(round(y s), -128, 127), round half to even:
//   q [T, ceil(H/4)] u32, four int8 a word, zero past H; scale [T] = 1 / s
const T = 2u;
const H = 8u;
const WORDS = (H + 3u) / 4u;
const EPS = 1e-05f;

@group(0) @binding(0) var<storage, read> gu: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> rstd: array<f32>;
@group(0) @binding(3) var<storage, read_write> q: array<u32>;
@group(0) @binding(4) var<storage, read_write> scale: array<f32>;
const LANES = 32u;
var<workgroup> shared_lanes: array<f32, 32>;

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

// The row of this invocation: 32 lanes a row, 1 rows a workgroup.
fn row_of(group: vec3<u32>, groups: vec3<u32>, local: u32) -> u32 {
	let g = group.x + group.y * groups.x;
	return g;
}
fn rolled(n: u32, row: u32) -> u32 { return n; }

fn load_gate(row: u32, c: u32) -> vec4<f32> {
	return gu[row * 4u + 0u + c];
}

fn load_up(row: u32, c: u32) -> vec4<f32> {
	return gu[row * 4u + 2u + c];
}

fn normed(row: u32, c: u32) -> vec4<f32> {
	let g = load_gate(row, c);
	return g / (vec4<f32>(1.0) + exp(-g)) * load_up(row, c);
}

fn load_w(row: u32, c: u32) -> vec4<f32> {
	return w[row * 2u + 0u + c];
}

fn weight(c: u32) -> vec4<f32> { return load_w(0u, c); }

fn value(row: u32, c: u32, r: f32) -> vec4<f32> { return weight(c) * (normed(row, c) * r); }

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let row = row_of(group, groups, local);
	if (row >= T) { return; }
	let lane = local % LANES;
	let words = rolled(WORDS, row);

	var squares = 0.0;
	var m = 0.0;
	for (var c = lane; c < words; c += LANES) {
		let v = normed(row, c);
		squares += dot(v, v);
		let a = abs(weight(c) * v);
		m = max(m, max(max(a.x, a.y), max(a.z, a.w)));
	}
	let r = 1.0 / sqrt(total(lane, squares) / f32(H) + EPS);
	if (lane == 0u) { rstd[row] = r; }

	m *= r;
	let absmax = max(largest(lane, m), 1e-05f);
	let s = 127.0 / absmax;
	if (lane == 0u) { scale[row] = absmax / 127.0; }
	for (var c = lane; c < words; c += LANES) {
		let v = vec4<i32>(clamp(round(value(row, c, r) * s), vec4<f32>(-128.0), vec4<f32>(127.0)));
		let b = vec4<u32>(v) & vec4<u32>(255u);
		q[row * WORDS + c] = b.x | (b.y << 8u) | (b.z << 16u) | (b.w << 24u);
	}
}
