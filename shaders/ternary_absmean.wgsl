// First half of the absmean quantisation: partial sums of |w| of each projection of a group.
//   w [N, K], the projections' rows one after another -> part [PROJECTIONS, PARTS]
// {{.Lanes}} invocations a part; a projection's elements are dealt to its parts in turn.
const K = {{.K}}u;
const PARTS = {{.Parts}}u;
const PROJECTIONS = {{len .Rows}}u;
const FIRST = array<u32, {{add (len .Rows) 1}}>({{range .First}}{{.}}u, {{end}}); // row at which each begins

@group(0) @binding(0) var<storage, read> w: array<f32>;
@group(0) @binding(1) var<storage, read_write> part: array<f32>;
{{template "reduce" .}}
{{template "row" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let row = row_of(group, groups, local);
	if (row >= PROJECTIONS * PARTS) { return; }
	let lane = local % LANES;
	var first = FIRST;
	let end = first[row / PARTS + 1u] * K;
	var sum = 0.0;
	for (var i = first[row / PARTS] * K + (row % PARTS) * LANES + lane; i < end; i += PARTS * LANES) { sum += abs(w[i]); }
	sum = total(lane, sum);
	if (lane == 0u) { part[row] = sum; }
}
