// First of three steps of the absmean quantisation (BitNet b1.58): part[i] = sum of |w| over chunk i.
//   places, w [all weights] -> part [chunks]; {{.Lanes}} invocations a chunk
{{template "places" .}}
{{read "w: array<%s>" .Element}}
{{write "part: array<f32>"}}
{{template "reduce" .}}
{{template "row" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let row = row_of(group, groups, local);
	if (row >= {{.Chunks}}u) { return; }
	let lane = local % LANES;
	let first = places.chunks[row].weight;
	let n = places.chunks[row].rows * places.chunks[row].k;
{{- if .Odd}}
	var sum = 0.0;
	for (var i = lane; i < n; i += LANES) { sum += abs(w[first + i]); }
{{- else}}
	var sums = vec4<f32>();
	for (var i = lane; i < n / 4u; i += LANES) { sums += abs(w[first / 4u + i]); }
	var sum = sums.x + sums.y + sums.z + sums.w;
{{- end}}
	sum = total(lane, sum);
	if (lane == 0u) { part[row] = sum; }
}
