// Softmax cross-entropy of a block of rows, and how far they are from a teacher's (Hinton et al., Distilling the Knowledge in
// a Neural Network, arXiv 1503.02531). With q = softmax(logits[r] / TEMPERATURE) and t = softmax(teacher[r] / TEMPERATURE):
//   loss[r] = logsumexp_v(logits[r, v]) - logits[r, targets[r]]
//   divergence[r] = KL(t || q) = sum_v t[v] (log t[v] - log q[v]),  both 0 where targets[r] is IGNORE
// and, in place, the gradient of the mean of (1 - WEIGHT) loss + WEIGHT TEMPERATURE^2 divergence:
//   logits[r, v] <- ((1 - WEIGHT) (softmax(logits[r])[v] - onehot[v]) + WEIGHT TEMPERATURE (q[v] - t[v])) / count,
// 0 in ignored rows, with 1 / count in step[LOSS_SCALE].
//   logits, teacher [R, V], targets [R] u32, step -> loss [R], divergence [R]
const ROWS = 2u;
const V = 16u;
const IGNORE = 0xffffffffu;
const WEIGHT = 0.5f;
const TEMPERATURE = 2.0f;

@group(0) @binding(0) var<storage, read_write> logits: array<f32>;
@group(0) @binding(1) var<storage, read> teacher: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;
@group(0) @binding(4) var<storage, read_write> divergence: array<f32>;
@group(0) @binding(5) var<storage, read> step: array<f32>;
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

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let row = row_of(group, groups, local);
	if (row >= ROWS) { return; }
	let lane = local % LANES;
	let vocab = rolled(V, row);
	let at = row * V;
	let want = targets[row];

	var m = -3.4e38;
	var n = -3.4e38;
	for (var v = lane; v < vocab; v += LANES) {
		m = max(m, logits[at + v]);
		n = max(n, teacher[at + v]);
	}
	m = largest(lane, m);
	n = largest(lane, n);
	// Sums of exp(logits), of exp(logits / TEMPERATURE), of exp(teacher / TEMPERATURE), and of the last times
	// (teacher - logits) / TEMPERATURE, all below their maxima.
	var sum = 0.0;
	var student_sum = 0.0;
	var teacher_sum = 0.0;
	var gap = 0.0;
	for (var v = lane; v < vocab; v += LANES) {
		let z = logits[at + v] - m;
		let u = teacher[at + v] - n;
		let e = exp(u / TEMPERATURE);
		sum += exp(z);
		student_sum += exp(z / TEMPERATURE);
		teacher_sum += e;
		gap += e * ((u - z) / TEMPERATURE);
	}
	sum = total(lane, sum);
	student_sum = total(lane, student_sum);
	teacher_sum = total(lane, teacher_sum);
	gap = total(lane, gap);
	if (lane == 0u) {
		if (want == IGNORE) {
			loss[row] = 0.0;
			divergence[row] = 0.0;
		} else {
			loss[row] = log(sum) + m - logits[at + want];
			divergence[row] = gap / teacher_sum - log(teacher_sum) + log(student_sum);
		}
	}
	storageBarrier(); // lane 0 has read the target's logit before another lane overwrites it
	var k = step[4];
	if (want == IGNORE) { k = 0.0; }
	for (var v = lane; v < vocab; v += LANES) {
		let z = logits[at + v] - m;
		var p = exp(z) / sum;
		if (v == want) { p -= 1.0; }
		let apart = exp(z / TEMPERATURE) / student_sum - exp((teacher[at + v] - n) / TEMPERATURE) / teacher_sum;
		logits[at + v] = ((1.0 - WEIGHT) * p + WEIGHT * TEMPERATURE * apart) * k;
	}
}
