// Softmax cross-entropy of a block of rows:
//   loss[r] = logsumexp_v(logits[r, v]) - logits[r, targets[r]], 0 where targets[r] is IGNORE
{{- if .Gradient}}
// and, in place, the gradient of the mean loss: logits[r, v] <- (softmax - onehot) / count, 0 in ignored rows,
// with 1 / count in step[LOSS_SCALE].
{{- end}}
//   logits [R, V], targets [R] u32{{if .Gradient}}, step{{end}} -> loss [R]
const ROWS = {{.Rows}}u;
const V = {{.Vocab}}u;
const IGNORE = 0xffffffffu;

{{if .Gradient}}{{write "logits: array<f32>"}}{{else}}{{read "logits: array<f32>"}}{{end}}
{{read "targets: array<u32>"}}
{{write "loss: array<f32>"}}
{{- if .Gradient}}
{{read "step: array<f32>"}}
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
	let want = targets[row];

	var m = -3.4e38;
	for (var v = lane; v < vocab; v += LANES) { m = max(m, logits[at + v]); }
	m = largest(lane, m);
	var sum = 0.0;
	for (var v = lane; v < vocab; v += LANES) { sum += exp(logits[at + v] - m); }
	sum = total(lane, sum);
	if (lane == 0u) {
		if (want == IGNORE) { loss[row] = 0.0; } else { loss[row] = log(sum) + m - logits[at + want]; }
	}
{{- if .Gradient}}
	{{if gt .Lanes 1}}storageBarrier(); // lane 0 has read the target's logit before another lane overwrites it
	{{end -}}
	var k = step[{{.LossScale}}];
	if (want == IGNORE) { k = 0.0; }
	for (var v = lane; v < vocab; v += LANES) {
		var p = exp(logits[at + v] - m) / sum;
		if (v == want) { p -= 1.0; }
		logits[at + v] = p * k;
	}
{{- end}}
}
