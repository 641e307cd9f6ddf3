// Clips groups of parameters each by the norm of its own gradient: norm = sqrt(sum of the group's parts), which goes
// to the step's slot of norms; the group's clip factor min(1, max_norm / (norm + 1e-6)) goes to state[CLIP + group].
//   part [PARTS], step -> state, norms [SLOTS, {{len .Groups}}]; one workgroup
{{read "part: array<f32>"}}
{{read "step: array<f32>"}}
{{write "state: array<f32>"}}
{{write "norms: array<f32>"}}
{{template "reduce" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(local_invocation_index) lane: u32) {
	let slot = bitcast<u32>(step[{{.Slot}}]) * {{len .Groups}}u;
	var sum = 0.0;
{{- range $g, $parts := .Groups}}

	sum = 0.0;
	for (var i = {{index $parts 0}}u + lane; i < {{index $parts 1}}u; i += LANES) { sum += part[i]; }
	sum = total(lane, sum);
	if (lane == 0u) {
		state[{{add $.Clip $g}}] = min(1.0, step[{{$.MaxNorm}}] / (sqrt(sum) + 1e-6));
		norms[slot + {{$g}}u] = sqrt(sum);
	}
{{- end}}
}
