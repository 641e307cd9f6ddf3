// Adds a micro-batch's mean {{if .Divergence}}divergence from a teacher{{else}}loss{{end}} to the step's: state[{{if .Divergence}}DIVERGENCE{{else}}LOSS{{end}}] += step[LOSS_SCALE] sum_t loss[t].
//   loss [T], step -> state; one workgroup
const T = {{.Tokens}}u;

{{read "loss: array<f32>"}}
{{read "step: array<f32>"}}
{{write "state: array<f32>"}}
{{template "reduce" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(local_invocation_index) lane: u32) {
	var sum = 0.0;
	for (var t = lane; t < T; t += LANES) { sum += loss[t]; }
	sum = total(lane, sum);
	if (lane == 0u) { state[{{.Loss}}] += sum * step[{{.LossScale}}]; }
}
