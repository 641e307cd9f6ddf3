// Embedding: y[t, h] = table[ids[t], h].
//   ids [T] u32, table [vocabulary, H] -> y [T, H]; one invocation {{.Per}}.
alias V = {{.V}};
const T = {{.Tokens}}u;
const H = {{.Width}}u{{.Over}}; // of V

@group(0) @binding(0) var<storage, read> ids: array<u32>;
@group(0) @binding(1) var<storage, read> table: array<V>;
@group(0) @binding(2) var<storage, read_write> y: array<V>;
{{template "index" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
	let i = index(id, groups);
	if (i >= T * H) { return; }
	y[i] = table[ids[i / H] * H + i % H];
}
