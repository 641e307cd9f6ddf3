// The norm of the gradients that a step has summed so far: norms[slot] = sqrt(sum part), in the step's slot.
//   part [PARTS], step -> norms [SLOTS]; one workgroup
const PARTS = {{.Parts}}u;

{{read "part: array<f32>"}}
{{read "step: array<f32>"}}
{{write "norms: array<f32>"}}
{{template "reduce" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(local_invocation_index) lane: u32) {
	var sum = 0.0;
	for (var i = lane; i < PARTS; i += LANES) { sum += part[i]; }
	sum = total(lane, sum);
	if (lane == 0u) { norms[bitcast<u32>(step[{{.Slot}}])] = sqrt(sum); }
}
