{{define "places" -}}
// A chunk is some rows of one projection. Weights, words of codes, scales and parts are counted from the start
// of what is bound.
struct Chunk { weight: u32, code: u32, scale: u32, rows: u32, k: u32 }
struct Projection { part: u32, parts: u32, scale: u32, rows: u32, k: u32 }
struct Places { chunks: array<Chunk, {{.Chunks}}>, projections: array<Projection, {{.Projections}}> }
@group(0) @binding(0) var<storage, read> places: Places;
{{- end -}}
// First third of the absmean quantisation (BitNet b1.58) of many projections at once: the sum of |w| of each chunk.
//   places, w -> part [chunks]; {{.Lanes}} invocations a chunk
{{template "places" .}}
@group(0) @binding(1) var<storage, read> w: array<{{if .Odd}}f32{{else}}vec4<f32>{{end}}>;
@group(0) @binding(2) var<storage, read_write> part: array<f32>;
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
