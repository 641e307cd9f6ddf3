// First step of attention's gradient: delta[t, n] = do[t, n] . o[t, n].
//   dout, o [T, HEADS D] -> delta [T, HEADS]; one invocation an element
const N = {{.N}}u; // T HEADS
const D4 = {{div .HeadDim 4}}u;

{{read "dout: array<vec4<f32>>"}}
{{read "o: array<vec4<f32>>"}}
{{write "delta: array<f32>"}}
{{template "index" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
	let n = index(id, groups);
	if (n >= N) { return; }
	var sum = 0.0;
	for (var i = 0u; i < {{if .Rolled}}D4 + u32(arrayLength(&delta) == 0u){{else}}D4{{end}}; i++) { sum += dot(dout[n * D4 + i], o[n * D4 + i]); }
	delta[n] = sum;
}
