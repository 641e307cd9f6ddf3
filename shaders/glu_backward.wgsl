// Gradient of the gated activation:
//   dg = dy u act'(g), du = dy act(g), act = {{if .Relu2}}max(x, 0)^2, act' = 2 max(x, 0){{else}}x s, act' = s (1 + x (1 - s)), s = 1 / (1 + exp(-x)){{end}}
//   dy [T, F], gu [T, 2F] -> dgu [T, 2F]; one invocation {{.Per}} of dy
alias V = {{.V}};
const T = {{.Tokens}}u;
const F = {{.Width}}u{{.Over}}; // of V

@group(0) @binding(0) var<storage, read> dy: array<V>;
@group(0) @binding(1) var<storage, read> gu: array<V>;
@group(0) @binding(2) var<storage, read_write> dgu: array<V>;
{{template "index" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
	let i = index(id, groups);
	if (i >= T * F) { return; }
	let p = (i / F) * 2u * F + i % F;
	let g = gu[p];
	let u = gu[p + F];
	let d = dy[i];
{{- if .Relu2}}
	let a = max(g, V(0.0));
	dgu[p] = d * u * 2.0 * a;
	dgu[p + F] = d * a * a;
{{- else}}
	let s = V(1.0) / (V(1.0) + exp(-g));
	dgu[p] = d * u * s * (V(1.0) + g * (V(1.0) - s));
	dgu[p + F] = d * g * s;
{{- end}}
}
