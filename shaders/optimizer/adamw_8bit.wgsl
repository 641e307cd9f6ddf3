// AdamW with moments in 8 bits, by blocks of {{.Block}} parameters (Dettmers et al., 8-bit optimizers via block-wise
// quantization, arXiv 2110.02861): m and r = sqrt(v) are codes times the largest magnitude of their block.
//   g <- clip g;  m <- b1 m + (1 - b1) g;  v <- b2 r^2 + (1 - b2) g^2
//   p <- p (1 - lr wd) - lr (m / c1) / (sqrt(v / c2) + eps),  c1 = 1 - b1^t, c2 = 1 - b2^t
// with the new m and v before they are rounded. The gradient becomes zero.{{if not .Decay}} Without weight decay.{{end}}
//   p, g [N], m, r [N / 4] u32, four codes a word, ms, rs [blocks], step (lr, wd, 1/c1, 1/sqrt(c2)), state (clip)
// A code k > 0 below the last is level i = floor(log2(k + 1)), place j = k + 1 - 2^i of D levels (6 for m, whose
// eighth bit is the sign, 7 for r): 8^(i - D) (1/8 + 7/8 (j + 1/2) / 2^i). 0 is 0, and the last code is 1.
const BLOCKS = {{.Blocks}}u;
const BLOCK = {{div .Block 4}}u; // words
const N = {{div .N 4}}u; // words
const B1 = {{f32 .Beta1}};
const B2 = {{f32 .Beta2}};
const EPS = {{f32 .Eps}};

{{write "p: array<vec4<f32>>"}}
{{write "g: array<vec4<f32>>"}}
{{write "m: array<u32>"}}
{{write "ms: array<f32>"}}
{{write "r: array<u32>"}}
{{write "rs: array<f32>"}}
{{read "step: array<f32>"}}
{{read "state: array<f32>"}}
{{template "reduce" .}}
{{template "row" .}}
fn bytes(word: u32) -> vec4<u32> { return vec4<u32>(word & 255u, (word >> 8u) & 255u, (word >> 16u) & 255u, word >> 24u); }
fn word(b: vec4<u32>) -> u32 { return b.x | (b.y << 8u) | (b.z << 16u) | (b.w << 24u); }

// eighth is 8^-d.
fn eighth(d: vec4<u32>) -> vec4<f32> { return bitcast<vec4<f32>>((vec4<u32>(127u) - 3u * d) << vec4<u32>(23u)); }

fn decode(k: vec4<u32>, levels: u32) -> vec4<f32> {
	let n = k + 1u;
	let i = firstLeadingBit(n);
	let all = vec4<u32>(1u) << i;
	let x = eighth(vec4<u32>(levels) - min(i, vec4<u32>(levels))) * (0.125 + 0.875 * (vec4<f32>(n - all) + 0.5) / vec4<f32>(all));
	return select(select(x, vec4<f32>(0.0), k == vec4<u32>(0u)), vec4<f32>(1.0), i > vec4<u32>(levels));
}

// encode gives the code of magnitudes from 0 to 1: the place that they lie in. least is the code of what is above 0 but too small for a level.
fn encode(x: vec4<f32>, levels: u32, least: u32) -> vec4<u32> {
	let below = max(vec4<i32>(126) - vec4<i32>(bitcast<vec4<u32>>(x) >> vec4<u32>(23u)), vec4<i32>(0)); // binary places under 1/2
	let d = min(vec4<u32>(below) / 3u, vec4<u32>(levels - 1u));
	let i = vec4<u32>(levels) - d;
	let all = vec4<u32>(1u) << i;
	let scaled = x / eighth(d);
	let j = vec4<u32>(clamp((scaled - 0.125) * (1.0 / 0.875) * vec4<f32>(all), vec4<f32>(0.0), vec4<f32>(all - 1u)));
	let small = scaled < vec4<f32>(0.171875); // half of the lowest value, in the lowest level
	let tiny = select(vec4<u32>(0u), vec4<u32>(least), x > vec4<f32>(0.0));
	let last = (2u << levels) - 1u;
	let half = 1.0 - 0.21875 / f32(1u << levels); // between the highest value of the levels and 1
	let k = select(all - 1u + j, tiny, small & (d == vec4<u32>(levels - 1u)));
	return select(k, vec4<u32>(last), x > vec4<f32>(half));
}

fn first_moment(i: u32, scale: f32, grad: vec4<f32>) -> vec4<f32> {
	let b = bytes(m[i]);
	let old = decode(b & vec4<u32>(127u), 6u) * scale;
	return B1 * select(old, -old, b > vec4<u32>(127u)) + (1.0 - B1) * grad;
}

fn second_moment(i: u32, scale: f32, grad: vec4<f32>) -> vec4<f32> {
	let old = decode(bytes(r[i]), 7u) * scale;
	return B2 * old * old + (1.0 - B2) * grad * grad;
}

fn most(v: vec4<f32>) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }

// What to multiply with so that the largest magnitude becomes 1.
fn inverse(largest: f32) -> f32 { return select(0.0, 1.0 / largest, largest > 0.0); }

@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let block = row_of(group, groups, local);
	if (block >= BLOCKS) { return; }
	let lane = local % LANES;
	let begin = block * BLOCK;
	let end = min(begin + rolled(BLOCK, block), N);
	let clip = state[{{.Clip}}];
	let m_scale = ms[block];
	let r_scale = rs[block];
	var m_most = 0.0;
	var v_most = 0.0;
	for (var i = begin + lane; i < end; i += LANES) {
		let grad = g[i] * clip;
		m_most = max(m_most, most(abs(first_moment(i, m_scale, grad))));
		v_most = max(v_most, most(second_moment(i, r_scale, grad)));
	}
	let m_new = largest(lane, m_most);
	let r_new = sqrt(largest(lane, v_most));
	let m_unit = inverse(m_new);
	let r_unit = inverse(r_new);
	let lr = step[{{.LR}}];
	for (var i = begin + lane; i < end; i += LANES) {
		let grad = g[i] * clip;
		let m1 = first_moment(i, m_scale, grad);
		let root = sqrt(second_moment(i, r_scale, grad));
		let k = encode(min(abs(m1) * m_unit, vec4<f32>(1.0)), 6u, 0u);
		m[i] = word(k | select(vec4<u32>(0u), vec4<u32>(128u), (m1 < vec4<f32>(0.0)) & (k != vec4<u32>(0u))));
		r[i] = word(encode(min(root * r_unit, vec4<f32>(1.0)), 7u, 1u));
		g[i] = vec4<f32>(0.0);
		p[i] = p[i]{{if .Decay}} * (1.0 - lr * step[{{.WD}}]){{end}} - lr * step[{{.Correct1}}] * m1 / (root * step[{{.Correct2}}] + vec4<f32>(EPS));
	}
	if (lane == 0u) {
		ms[block] = m_new;
		rs[block] = r_new;
	}
}
