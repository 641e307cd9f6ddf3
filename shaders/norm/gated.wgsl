// Gated activation: y[t, h] = act(gu[t, h]) gu[t, H + h], {{template "act" .}}
//   gu [T, 2H] (gate, then up) -> y [T, H]; one invocation four neighbours
const T = {{.Tokens}}u;
const H = {{.Width}}u;
const WORDS = (H + 3u) / 4u;

{{read "gu: array<%s>" .Four}}
{{write "y: array<%s>" .Four}}
{{template "index" .}}
{{template "normed" .}}
{{template "put4" .Array "y"}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
	let i = index(id, groups);
	if (i >= T * WORDS) { return; }
	put_y(i / WORDS, i % WORDS, normed(i / WORDS, i % WORDS));
}
