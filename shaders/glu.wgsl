// Gated activation: y[t, f] = act(g[t, f]) u[t, f], act = {{if .Relu2}}max(x, 0)^2{{else}}x / (1 + exp(-x)){{end}}
//   gu [T, 2F] (gate, then up) -> y [T, F]; one invocation {{.Per}}
alias V = {{.V}};
const T = {{.Tokens}}u;
const F = {{.Width}}u{{.Over}}; // of V

@group(0) @binding(0) var<storage, read> gu: array<V>;
@group(0) @binding(1) var<storage, read_write> y: array<V>;
{{template "index" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
	let i = index(id, groups);
	if (i >= T * F) { return; }
	let p = (i / F) * 2u * F + i % F;
	let g = gu[p];
{{- if .Relu2}}
	let a = max(g, V(0.0));
	y[i] = a * a * gu[p + F];
{{- else}}
	y[i] = g / (V(1.0) + exp(-g)) * gu[p + F];
{{- end}}
}
