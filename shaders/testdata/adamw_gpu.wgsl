// AdamW (Loshchilov and Hutter, 2019) on a range of the flat parameters:
//   g <- clip g;  m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2
//   p <- p (1 - lr wd) - lr (m / c1) / (sqrt(v / c2) + eps),  c1 = 1 - b1^t, c2 = 1 - b2^t
// The gradient becomes zero, ready for the sums of the next step.
//   p, g, m, v [N], step (lr, wd, 1/c1, 1/sqrt(c2)), state (clip); one invocation a V
alias V = vec4<f32>;
const N = 4u; // of V
const B1 = 0.9f;
const B2 = 0.95f;
const EPS = 1e-08f;

@group(0) @binding(0) var<storage, read_write> p: array<V>;
@group(0) @binding(1) var<storage, read_write> g: array<V>;
@group(0) @binding(2) var<storage, read_write> m: array<V>;
@group(0) @binding(3) var<storage, read_write> v: array<V>;
@group(0) @binding(4) var<storage, read> step: array<f32>;
@group(0) @binding(5) var<storage, read> state: array<f32>;
// The number of this invocation in the whole dispatch.
fn index(id: vec3<u32>, groups: vec3<u32>) -> u32 {
	return id.x + id.y * groups.x * 256u;
}

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
	let i = index(id, groups);
	if (i >= N) { return; }
	let grad = g[i] * state[2];
	let m1 = B1 * m[i] + (1.0 - B1) * grad;
	let v1 = B2 * v[i] + (1.0 - B2) * grad * grad;
	m[i] = m1;
	v[i] = v1;
	g[i] = V(0.0);
	let lr = step[0];
	p[i] = p[i] * (1.0 - lr * step[1]) - lr * step[2] * m1 / (sqrt(v1) * step[3] + V(EPS));
}
