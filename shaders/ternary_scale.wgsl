// The scale of each row of a group of ternary projections: mean |w| of its projection, at least 1e-5.
//   part [PROJECTIONS, PARTS] -> scale [N]; one invocation a row
const K = {{.K}}u;
const PARTS = {{.Parts}}u;
const N = {{.N}}u;
const FIRST = array<u32, {{add (len .Rows) 1}}>({{range .First}}{{.}}u, {{end}}); // row at which each begins

@group(0) @binding(0) var<storage, read> part: array<f32>;
@group(0) @binding(1) var<storage, read_write> scale: array<f32>;
{{template "index" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
	let n = index(id, groups);
	if (n >= N) { return; }
	var first = FIRST;
	var p = 0u;
	while (n >= first[p + 1u]) { p++; }
	var sum = 0.0;
	for (var i = 0u; i < PARTS; i++) { sum += part[p * PARTS + i]; }
	scale[n] = max(sum / f32((first[p + 1u] - first[p]) * K), 1e-5);
}
