// AdamW (Loshchilov and Hutter, 2019) on a range of the flat parameters:
//   g <- clip g;  m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2
//   p <- p (1 - lr wd) - lr (m / c1) / (sqrt(v / c2) + eps),  c1 = 1 - b1^t, c2 = 1 - b2^t
// The gradient becomes zero, ready for the sums of the next step.{{if not .Decay}} Without weight decay.{{end}}
//   p, g, m, v [N], step (lr, wd, 1/c1, 1/sqrt(c2)), state (clip); one invocation a V
{{template "vector" .}}
const N = {{div .N .Each}}u; // of V
const B1 = {{f32 .Beta1}};
const B2 = {{f32 .Beta2}};
const EPS = {{f32 .Eps}};

{{write "p: array<V>"}}
{{write "g: array<V>"}}
{{write "m: array<V>"}}
{{write "v: array<V>"}}
{{read "step: array<f32>"}}
{{read "state: array<f32>"}}
{{template "index" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
	let i = index(id, groups);
	if (i >= N) { return; }
	let grad = g[i] * state[{{.Clip}}];
	let m1 = B1 * m[i] + (1.0 - B1) * grad;
	let v1 = B2 * v[i] + (1.0 - B2) * grad * grad;
	m[i] = m1;
	v[i] = v1;
	g[i] = V(0.0);
	let lr = step[{{.LR}}];
	p[i] = p[i]{{if .Decay}} * (1.0 - lr * step[{{.WD}}]){{end}} - lr * step[{{.Correct1}}] * m1 / (sqrt(v1) * step[{{.Correct2}}] + V(EPS));
}
