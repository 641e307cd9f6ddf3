// Ends a step: norm = sqrt(sum part); the clip factor min(1, max_norm / (norm + 1e-6)) goes to state[CLIP];
// loss{{if .Divergence}}, norm and divergence{{else}} and norm{{end}} go to the step's slot of the history, and the loss {{if .Divergence}}and the divergence are{{else}}is{{end}} reset to 0.
//   part [PARTS], step -> state, history [SLOTS, {{.Columns}}]; one workgroup
const PARTS = {{.Parts}}u;

{{read "part: array<f32>"}}
{{read "step: array<f32>"}}
{{write "state: array<f32>"}}
{{write "history: array<f32>"}}
{{template "reduce" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(local_invocation_index) lane: u32) {
	var sum = 0.0;
	for (var i = lane; i < PARTS; i += LANES) { sum += part[i]; }
	sum = total(lane, sum);
	if (lane == 0u) {
		let norm = sqrt(sum);
		state[{{.Clip}}] = min(1.0, step[{{.MaxNorm}}] / (norm + 1e-6));
		let slot = bitcast<u32>(step[{{.Slot}}]);
		history[slot * {{.Columns}}u] = state[{{.Loss}}];
		history[slot * {{.Columns}}u + 1u] = norm;
		state[{{.Loss}}] = 0.0;
{{- if .Divergence}}
		history[slot * {{.Columns}}u + 2u] = state[{{.StateDivergence}}];
		state[{{.StateDivergence}}] = 0.0;
{{- end}}
	}
}
