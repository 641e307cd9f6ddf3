// Nesterov momentum of Muon on a range of the flat parameters:
//   m <- mu m + clip g;  g <- clip g + mu m, the direction that is orthogonalised
//   g, m [N], state (clip); one invocation a V
{{template "vector" .}}
const N = {{div .N .Each}}u; // of V
const MU = {{f32 .Mu}};

{{write "g: array<V>"}}
{{write "m: array<V>"}}
{{read "state: array<f32>"}}
{{template "index" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
	let i = index(id, groups);
	if (i >= N) { return; }
	let grad = g[i] * state[{{.Clip}}];
	let m1 = MU * m[i] + grad;
	m[i] = m1;
	g[i] = grad + MU * m1;
}
