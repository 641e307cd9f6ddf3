// The gradient of the mean softmax cross-entropy in one block of columns of the logits, in place, once blocks.wgsl has gone
// through all of them:
//   logits[r, v] <- (exp(logits[r, v] - m) / s - [AT + v = targets[r]]) / count, 0 where targets[r] is IGNORE
//   targets [R] u32, sums [R, 3] of m, s and another, step (1 / count) -> logits [R, V] of the columns from AT on
const ROWS = {{.Rows}}u;
const V = {{.Vocab}}u;
const AT = {{.At}}u;
const IGNORE = 0xffffffffu;

{{write "logits: array<f32>"}}
{{read "targets: array<u32>"}}
{{read "sums: array<f32>"}}
{{read "step: array<f32>"}}
const LANES = {{.Lanes}}u;
{{template "row" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let row = row_of(group, groups, local);
	if (row >= ROWS) { return; }
	let vocab = rolled(V, row);
	let at = row * V;
	let want = targets[row] - AT; // wraps to a large number before the block
	let m = sums[3u * row];
	let sum = sums[3u * row + 1u];
	var k = step[{{.LossScale}}];
	if (targets[row] == IGNORE) { k = 0.0; }
	for (var v = local % LANES; v < vocab; v += LANES) {
		var p = exp(logits[at + v] - m) / sum;
		if (v == want) { p -= 1.0; }
		logits[at + v] = p * k;
	}
}
