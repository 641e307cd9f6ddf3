// Part of the way to the int8 form of each row (BitNet b1.58): with s = 127 / max(max_h |x|, {{f32 .Floor}}) and r = step[RAMP],
//   y[t, h] = (1 - r) x[t, h] + r clamp(round(x[t, h] s), -128, 127) / s, round half to even
//   x [T, H], step -> y [T, H]
const T = {{.Tokens}}u;
const H = {{.Width}}u;
const WORDS = (H + 3u) / 4u;

{{read "x: array<%s>" .Four}}
{{read "step: array<f32>"}}
{{write "y: array<%s>" .Four}}
{{template "reduce" .}}
{{template "row" .}}
{{template "load4" .Array "x"}}
{{template "put4" .Array "y"}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let row = row_of(group, groups, local);
	if (row >= T) { return; }
	let lane = local % LANES;
	let words = rolled(WORDS, row);
	let r = step[{{.Ramp}}];
	var m = 0.0;
	for (var c = lane; c < words; c += LANES) {
		let v = abs(load_x(row, c));
		m = max(m, max(max(v.x, v.y), max(v.z, v.w)));
	}
	let absmax = max(largest(lane, m), {{f32 .Floor}});
	let s = 127.0 / absmax;
	let scale = absmax / 127.0;
	for (var c = lane; c < words; c += LANES) {
		let v = load_x(row, c);
		put_y(row, c, (1.0 - r) * v + r * (clamp(round(v * s), vec4<f32>(-128.0), vec4<f32>(127.0)) * scale));
	}
}
