// Causal grouped-query attention with a streaming softmax; no [SEQ, SEQ] matrix is stored:
//   o[t, n] = sum over keys j <= t of softmax_j(SCALE q[t, n] . k[j, n/GROUP]) v[j, n/GROUP]
//   lse[t, n] = logsumexp_j(SCALE q . k), kept for the gradient
//   qkv [B, SEQ, (HEADS + 2 KV_HEADS) D] (queries, keys, values) -> o [B, SEQ, HEADS D], lse [B SEQ, HEADS]
// Rows are queries of head y % HEADS of sequence y / HEADS, columns its keys, and then its values.
// A workgroup keeps 32 rows of one side and goes through the other side in tiles of 32 columns. Invocation (y, x) computes
// the scores of the rows y + i Y and the columns x + 8 j, and of the sums over columns the vectors x + 8 u of the same rows.
// The code is repeated for each i, j and u, so that these values stay in registers with every compiler.
const SEQ = 8u;
const HEADS = 2u;
const KV_HEADS = 1u;
const GROUP = HEADS / KV_HEADS;
const D4 = 2u; // vec4 words of a head
const STRIDE = (HEADS + 2u * KV_HEADS) * D4; // words of a row of qkv
const SCALE = 0.35355338f;
const THREADS = 64u;
const LOWEST = -3.4e38;
const PITCH = D4 + 1u; // words of a row in workgroup memory: neighbours are in different banks
const ROWS = 32u;
const COLS = 32u;
const Y = ROWS / 4u;
const X = 8u;
const P_PITCH = X + 1u;
alias Scores = vec4<f32>; // of one row, one for each j

@group(0) @binding(0) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> o: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> lse: array<f32>;

fn load_queries(t: u32, w: u32, head: u32) -> vec4<f32> { return SCALE * qkv[t * STRIDE + head * D4 + w]; }
fn load_columns(t: u32, w: u32, head: u32) -> vec4<f32> { return qkv[t * STRIDE + head * D4 + w]; }

var<workgroup> queries: array<vec4<f32>, 96>;
var<workgroup> columns: array<vec4<f32>, 96>;
var<workgroup> weights: array<Scores, 288>;
var<workgroup> lanes: array<vec4<f32>, 64>; // one value of each invocation

fn largest(row: u32) -> f32 {
	var m = lanes[row * (X / 4u)];
	for (var i = 1u; i < X / 4u; i++) { m = max(m, lanes[row * (X / 4u) + i]); }
	return max(max(m.x, m.y), max(m.z, m.w));
}

fn total(row: u32) -> f32 {
	var sum = lanes[row * (X / 4u)];
	for (var i = 1u; i < X / 4u; i++) { sum += lanes[row * (X / 4u) + i]; }
	return (sum.x + sum.y) + (sum.z + sum.w);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let none = group.z; // always 0, but compilers cannot see that and do not unroll loops
	let first = group.x * ROWS;
	let y = local / X;
	let x = local % X;
	let w0 = min(x + 0u * X, D4 - 1u);
	let head = group.y % HEADS;
	let base = (group.y / HEADS) * SEQ;
		for (var i = local; i < ROWS * D4 + none; i += 4u * THREADS) {
			let i_0 = min(i + 0u * THREADS, ROWS * D4 - 1u);
			let t_0 = base + min(first + i_0 / D4, SEQ - 1u);
			let queries_0 = load_queries(t_0, i_0 % D4, head);
			let i_1 = min(i + 1u * THREADS, ROWS * D4 - 1u);
			let t_1 = base + min(first + i_1 / D4, SEQ - 1u);
			let queries_1 = load_queries(t_1, i_1 % D4, head);
			let i_2 = min(i + 2u * THREADS, ROWS * D4 - 1u);
			let t_2 = base + min(first + i_2 / D4, SEQ - 1u);
			let queries_2 = load_queries(t_2, i_2 % D4, head);
			let i_3 = min(i + 3u * THREADS, ROWS * D4 - 1u);
			let t_3 = base + min(first + i_3 / D4, SEQ - 1u);
			let queries_3 = load_queries(t_3, i_3 % D4, head);
			queries[(i_0 / D4) * PITCH + i_0 % D4] = queries_0;
			queries[(i_1 / D4) * PITCH + i_1 % D4] = queries_1;
			queries[(i_2 / D4) * PITCH + i_2 % D4] = queries_2;
			queries[(i_3 / D4) * PITCH + i_3 % D4] = queries_3;
		}
	var m0 = LOWEST;
	var l0 = 0.0;
	var o0_0 = vec4<f32>();
	var m1 = LOWEST;
	var l1 = 0.0;
	var o1_0 = vec4<f32>();
	var m2 = LOWEST;
	var l2 = 0.0;
	var o2_0 = vec4<f32>();
	var m3 = LOWEST;
	var l3 = 0.0;
	var o3_0 = vec4<f32>();
	for (var tile = 0u; tile < min(first + ROWS, SEQ); tile += COLS) {
		for (var i = local; i < COLS * D4 + none; i += 4u * THREADS) {
			let i_0 = min(i + 0u * THREADS, COLS * D4 - 1u);
			let t_0 = base + min(tile + i_0 / D4, SEQ - 1u);
			let columns_0 = load_columns(t_0, i_0 % D4, HEADS + head / GROUP);
			let i_1 = min(i + 1u * THREADS, COLS * D4 - 1u);
			let t_1 = base + min(tile + i_1 / D4, SEQ - 1u);
			let columns_1 = load_columns(t_1, i_1 % D4, HEADS + head / GROUP);
			let i_2 = min(i + 2u * THREADS, COLS * D4 - 1u);
			let t_2 = base + min(tile + i_2 / D4, SEQ - 1u);
			let columns_2 = load_columns(t_2, i_2 % D4, HEADS + head / GROUP);
			let i_3 = min(i + 3u * THREADS, COLS * D4 - 1u);
			let t_3 = base + min(tile + i_3 / D4, SEQ - 1u);
			let columns_3 = load_columns(t_3, i_3 % D4, HEADS + head / GROUP);
			columns[(i_0 / D4) * PITCH + i_0 % D4] = columns_0;
			columns[(i_1 / D4) * PITCH + i_1 % D4] = columns_1;
			columns[(i_2 / D4) * PITCH + i_2 % D4] = columns_2;
			columns[(i_3 / D4) * PITCH + i_3 % D4] = columns_3;
		}
		workgroupBarrier();
		var s0 = Scores();
		var s1 = Scores();
		var s2 = Scores();
		var s3 = Scores();
		for (var d = 0u; d < D4 + none; d++) {
			let w = min(d, D4 - 1u); // tells compilers that indices are within their arrays
			let s_a0 = queries[(y + 0u * Y) * PITCH + w];
			let s_a1 = queries[(y + 1u * Y) * PITCH + w];
			let s_a2 = queries[(y + 2u * Y) * PITCH + w];
			let s_a3 = queries[(y + 3u * Y) * PITCH + w];
			let s_b0 = columns[(x + 0u * X) * PITCH + w];
			let s_b1 = columns[(x + 1u * X) * PITCH + w];
			let s_b2 = columns[(x + 2u * X) * PITCH + w];
			let s_b3 = columns[(x + 3u * X) * PITCH + w];
			s0.x = fma(s_a0.w, s_b0.w, fma(s_a0.z, s_b0.z, fma(s_a0.y, s_b0.y, fma(s_a0.x, s_b0.x, s0.x))));
			s0.y = fma(s_a0.w, s_b1.w, fma(s_a0.z, s_b1.z, fma(s_a0.y, s_b1.y, fma(s_a0.x, s_b1.x, s0.y))));
			s0.z = fma(s_a0.w, s_b2.w, fma(s_a0.z, s_b2.z, fma(s_a0.y, s_b2.y, fma(s_a0.x, s_b2.x, s0.z))));
			s0.w = fma(s_a0.w, s_b3.w, fma(s_a0.z, s_b3.z, fma(s_a0.y, s_b3.y, fma(s_a0.x, s_b3.x, s0.w))));
			s1.x = fma(s_a1.w, s_b0.w, fma(s_a1.z, s_b0.z, fma(s_a1.y, s_b0.y, fma(s_a1.x, s_b0.x, s1.x))));
			s1.y = fma(s_a1.w, s_b1.w, fma(s_a1.z, s_b1.z, fma(s_a1.y, s_b1.y, fma(s_a1.x, s_b1.x, s1.y))));
			s1.z = fma(s_a1.w, s_b2.w, fma(s_a1.z, s_b2.z, fma(s_a1.y, s_b2.y, fma(s_a1.x, s_b2.x, s1.z))));
			s1.w = fma(s_a1.w, s_b3.w, fma(s_a1.z, s_b3.z, fma(s_a1.y, s_b3.y, fma(s_a1.x, s_b3.x, s1.w))));
			s2.x = fma(s_a2.w, s_b0.w, fma(s_a2.z, s_b0.z, fma(s_a2.y, s_b0.y, fma(s_a2.x, s_b0.x, s2.x))));
			s2.y = fma(s_a2.w, s_b1.w, fma(s_a2.z, s_b1.z, fma(s_a2.y, s_b1.y, fma(s_a2.x, s_b1.x, s2.y))));
			s2.z = fma(s_a2.w, s_b2.w, fma(s_a2.z, s_b2.z, fma(s_a2.y, s_b2.y, fma(s_a2.x, s_b2.x, s2.z))));
			s2.w = fma(s_a2.w, s_b3.w, fma(s_a2.z, s_b3.z, fma(s_a2.y, s_b3.y, fma(s_a2.x, s_b3.x, s2.w))));
			s3.x = fma(s_a3.w, s_b0.w, fma(s_a3.z, s_b0.z, fma(s_a3.y, s_b0.y, fma(s_a3.x, s_b0.x, s3.x))));
			s3.y = fma(s_a3.w, s_b1.w, fma(s_a3.z, s_b1.z, fma(s_a3.y, s_b1.y, fma(s_a3.x, s_b1.x, s3.y))));
			s3.z = fma(s_a3.w, s_b2.w, fma(s_a3.z, s_b2.z, fma(s_a3.y, s_b2.y, fma(s_a3.x, s_b2.x, s3.z))));
			s3.w = fma(s_a3.w, s_b3.w, fma(s_a3.z, s_b3.z, fma(s_a3.y, s_b3.y, fma(s_a3.x, s_b3.x, s3.w))));
		}
		// Masks the keys that a query does not see, and finds the greatest score of a row over its invocations.
		{
			let t = first + y + 0u * Y;
			var m = LOWEST;
			if (tile + x + 0u * X > t) { s0.x = LOWEST; }
			m = max(m, s0.x);
			if (tile + x + 1u * X > t) { s0.y = LOWEST; }
			m = max(m, s0.y);
			if (tile + x + 2u * X > t) { s0.z = LOWEST; }
			m = max(m, s0.z);
			if (tile + x + 3u * X > t) { s0.w = LOWEST; }
			m = max(m, s0.w);
			lanes[(y + 0u * Y) * (X / 4u) + x / 4u][x % 4u] = m;
		}
		{
			let t = first + y + 1u * Y;
			var m = LOWEST;
			if (tile + x + 0u * X > t) { s1.x = LOWEST; }
			m = max(m, s1.x);
			if (tile + x + 1u * X > t) { s1.y = LOWEST; }
			m = max(m, s1.y);
			if (tile + x + 2u * X > t) { s1.z = LOWEST; }
			m = max(m, s1.z);
			if (tile + x + 3u * X > t) { s1.w = LOWEST; }
			m = max(m, s1.w);
			lanes[(y + 1u * Y) * (X / 4u) + x / 4u][x % 4u] = m;
		}
		{
			let t = first + y + 2u * Y;
			var m = LOWEST;
			if (tile + x + 0u * X > t) { s2.x = LOWEST; }
			m = max(m, s2.x);
			if (tile + x + 1u * X > t) { s2.y = LOWEST; }
			m = max(m, s2.y);
			if (tile + x + 2u * X > t) { s2.z = LOWEST; }
			m = max(m, s2.z);
			if (tile + x + 3u * X > t) { s2.w = LOWEST; }
			m = max(m, s2.w);
			lanes[(y + 2u * Y) * (X / 4u) + x / 4u][x % 4u] = m;
		}
		{
			let t = first + y + 3u * Y;
			var m = LOWEST;
			if (tile + x + 0u * X > t) { s3.x = LOWEST; }
			m = max(m, s3.x);
			if (tile + x + 1u * X > t) { s3.y = LOWEST; }
			m = max(m, s3.y);
			if (tile + x + 2u * X > t) { s3.z = LOWEST; }
			m = max(m, s3.z);
			if (tile + x + 3u * X > t) { s3.w = LOWEST; }
			m = max(m, s3.w);
			lanes[(y + 3u * Y) * (X / 4u) + x / 4u][x % 4u] = m;
		}
		workgroupBarrier();
		// Values replace the keys, which are no longer needed.
		for (var i = local; i < COLS * D4 + none; i += 4u * THREADS) {
			let i_0 = min(i + 0u * THREADS, COLS * D4 - 1u);
			let t_0 = base + min(tile + i_0 / D4, SEQ - 1u);
			let columns_0 = load_columns(t_0, i_0 % D4, HEADS + KV_HEADS + head / GROUP);
			let i_1 = min(i + 1u * THREADS, COLS * D4 - 1u);
			let t_1 = base + min(tile + i_1 / D4, SEQ - 1u);
			let columns_1 = load_columns(t_1, i_1 % D4, HEADS + KV_HEADS + head / GROUP);
			let i_2 = min(i + 2u * THREADS, COLS * D4 - 1u);
			let t_2 = base + min(tile + i_2 / D4, SEQ - 1u);
			let columns_2 = load_columns(t_2, i_2 % D4, HEADS + KV_HEADS + head / GROUP);
			let i_3 = min(i + 3u * THREADS, COLS * D4 - 1u);
			let t_3 = base + min(tile + i_3 / D4, SEQ - 1u);
			let columns_3 = load_columns(t_3, i_3 % D4, HEADS + KV_HEADS + head / GROUP);
			columns[(i_0 / D4) * PITCH + i_0 % D4] = columns_0;
			columns[(i_1 / D4) * PITCH + i_1 % D4] = columns_1;
			columns[(i_2 / D4) * PITCH + i_2 % D4] = columns_2;
			columns[(i_3 / D4) * PITCH + i_3 % D4] = columns_3;
		}
		{
			let m = max(m0, largest(y + 0u * Y));
			let keep = exp(m0 - m);
			let p = exp(s0 - Scores(m)); // 0 for LOWEST: every query has seen a key by now
			weights[(y + 0u * Y) * P_PITCH + x] = p;
			l0 = l0 * keep + p.x + p.y + p.z + p.w;
			m0 = m;
			o0_0 *= keep;
		}
		{
			let m = max(m1, largest(y + 1u * Y));
			let keep = exp(m1 - m);
			let p = exp(s1 - Scores(m)); // 0 for LOWEST: every query has seen a key by now
			weights[(y + 1u * Y) * P_PITCH + x] = p;
			l1 = l1 * keep + p.x + p.y + p.z + p.w;
			m1 = m;
			o1_0 *= keep;
		}
		{
			let m = max(m2, largest(y + 2u * Y));
			let keep = exp(m2 - m);
			let p = exp(s2 - Scores(m)); // 0 for LOWEST: every query has seen a key by now
			weights[(y + 2u * Y) * P_PITCH + x] = p;
			l2 = l2 * keep + p.x + p.y + p.z + p.w;
			m2 = m;
			o2_0 *= keep;
		}
		{
			let m = max(m3, largest(y + 3u * Y));
			let keep = exp(m3 - m);
			let p = exp(s3 - Scores(m)); // 0 for LOWEST: every query has seen a key by now
			weights[(y + 3u * Y) * P_PITCH + x] = p;
			l3 = l3 * keep + p.x + p.y + p.z + p.w;
			m3 = m;
			o3_0 *= keep;
		}
		workgroupBarrier();
		for (var lane = 0u; lane < X + none; lane++) {
			let owner = min(lane, X - 1u);
			let o_p0 = weights[(y + 0u * Y) * P_PITCH + owner];
			let o_p1 = weights[(y + 1u * Y) * P_PITCH + owner];
			let o_p2 = weights[(y + 2u * Y) * P_PITCH + owner];
			let o_p3 = weights[(y + 3u * Y) * P_PITCH + owner];
			let o_c0_0 = columns[(owner + 0u * X) * PITCH + w0];
			let o_c1_0 = columns[(owner + 1u * X) * PITCH + w0];
			let o_c2_0 = columns[(owner + 2u * X) * PITCH + w0];
			let o_c3_0 = columns[(owner + 3u * X) * PITCH + w0];
			o0_0 = fma(vec4<f32>(o_p0.x), o_c0_0, o0_0);
			o0_0 = fma(vec4<f32>(o_p0.y), o_c1_0, o0_0);
			o0_0 = fma(vec4<f32>(o_p0.z), o_c2_0, o0_0);
			o0_0 = fma(vec4<f32>(o_p0.w), o_c3_0, o0_0);
			o1_0 = fma(vec4<f32>(o_p1.x), o_c0_0, o1_0);
			o1_0 = fma(vec4<f32>(o_p1.y), o_c1_0, o1_0);
			o1_0 = fma(vec4<f32>(o_p1.z), o_c2_0, o1_0);
			o1_0 = fma(vec4<f32>(o_p1.w), o_c3_0, o1_0);
			o2_0 = fma(vec4<f32>(o_p2.x), o_c0_0, o2_0);
			o2_0 = fma(vec4<f32>(o_p2.y), o_c1_0, o2_0);
			o2_0 = fma(vec4<f32>(o_p2.z), o_c2_0, o2_0);
			o2_0 = fma(vec4<f32>(o_p2.w), o_c3_0, o2_0);
			o3_0 = fma(vec4<f32>(o_p3.x), o_c0_0, o3_0);
			o3_0 = fma(vec4<f32>(o_p3.y), o_c1_0, o3_0);
			o3_0 = fma(vec4<f32>(o_p3.z), o_c2_0, o3_0);
			o3_0 = fma(vec4<f32>(o_p3.w), o_c3_0, o3_0);
		}
		workgroupBarrier();
	}
	lanes[(y + 0u * Y) * (X / 4u) + x / 4u][x % 4u] = l0;
	lanes[(y + 1u * Y) * (X / 4u) + x / 4u][x % 4u] = l1;
	lanes[(y + 2u * Y) * (X / 4u) + x / 4u][x % 4u] = l2;
	lanes[(y + 3u * Y) * (X / 4u) + x / 4u][x % 4u] = l3;
	workgroupBarrier();
	{
		let t = first + y + 0u * Y;
		if (t < SEQ) {
			let l = total(y + 0u * Y);
			let row = (base + t) * HEADS + head;
			if (x + 0u * X < D4) { o[row * D4 + w0] = o0_0 / l; }
			if (x == 0u) { lse[row] = m0 + log(l); }
		}
	}
	{
		let t = first + y + 1u * Y;
		if (t < SEQ) {
			let l = total(y + 1u * Y);
			let row = (base + t) * HEADS + head;
			if (x + 0u * X < D4) { o[row * D4 + w0] = o1_0 / l; }
			if (x == 0u) { lse[row] = m1 + log(l); }
		}
	}
	{
		let t = first + y + 2u * Y;
		if (t < SEQ) {
			let l = total(y + 2u * Y);
			let row = (base + t) * HEADS + head;
			if (x + 0u * X < D4) { o[row * D4 + w0] = o2_0 / l; }
			if (x == 0u) { lse[row] = m2 + log(l); }
		}
	}
	{
		let t = first + y + 3u * Y;
		if (t < SEQ) {
			let l = total(y + 3u * Y);
			let row = (base + t) * HEADS + head;
			if (x + 0u * X < D4) { o[row * D4 + w0] = o3_0 / l; }
			if (x == 0u) { lse[row] = m3 + log(l); }
		}
	}
}
