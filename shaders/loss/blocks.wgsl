// Softmax cross-entropy over logits that lie in blocks of columns, one block after another: the largest logit so far, the
// sum of exponentials below it and the target's logit,
//   m' = max(m, max_v logits[r, v]);  s' = s exp(m - m') + sum_v exp(logits[r, v] - m');  z' = logits[r, target - AT] if it is there
{{- if .Last}}
// and after the last block the loss: loss[r] = log(s') + m' - z', 0 where targets[r] is IGNORE.
{{- end}}
//   logits [R, V] of the columns from AT on, targets [R] u32 -> sums [R, 3] of m, s, z{{if .Last}}, loss [R]{{end}}
const ROWS = {{.Rows}}u;
const V = {{.Vocab}}u;
const AT = {{.At}}u;
const IGNORE = 0xffffffffu;

{{read "logits: array<f32>"}}
{{read "targets: array<u32>"}}
{{write "sums: array<f32>"}}
{{- if .Last}}
{{write "loss: array<f32>"}}
{{- end}}
{{template "reduce" .}}
{{template "row" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let row = row_of(group, groups, local);
	if (row >= ROWS) { return; }
	let lane = local % LANES;
	let vocab = rolled(V, row);
	let at = row * V;
	var m = -3.4e38;
	for (var v = lane; v < vocab; v += LANES) { m = max(m, logits[at + v]); }
	m = largest(lane, m);
{{- if .At}}
	let before = sums[3u * row];
	m = max(m, before);
{{- end}}
	var sum = 0.0;
	for (var v = lane; v < vocab; v += LANES) { sum += exp(logits[at + v] - m); }
	sum = total(lane, sum);
{{- if and .At (gt .Lanes 1)}}
	storageBarrier(); // all lanes have read what lane 0 overwrites
{{- end}}
	if (lane > 0u) { return; }
{{- if .At}}
	sum += sums[3u * row + 1u] * exp(before - m);
	var z = sums[3u * row + 2u];
{{- else}}
	var z = 0.0;
{{- end}}
	let want = targets[row] - AT; // wraps to a large number before the block
	if (want < V) { z = logits[at + want]; }
	sums[3u * row] = m;
	sums[3u * row + 1u] = sum;
	sums[3u * row + 2u] = z;
{{- if .Last}}
	if (targets[row] == IGNORE) { loss[row] = 0.0; } else { loss[row] = log(sum) + m - z; }
{{- end}}
}
