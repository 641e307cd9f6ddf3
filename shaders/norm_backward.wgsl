// Gradient of RMSNorm with respect to its input:
//   dx[t, h] {{if .Accumulate}}+{{end}}= r dy w - x r^3 mean_h(dy w x),  r = rstd[t]
//   dy [T, H], x [T, H], w [H], rstd [T] -> dx [T, H]
// Quantisation after the norm is passed straight through.
const T = {{.Tokens}}u;
const H = {{.Width}}u;
const WORDS = (H + 3u) / 4u;

@group(0) @binding(0) var<storage, read> dy: array<{{if .Odd}}f32{{else}}vec4<f32>{{end}}>;
@group(0) @binding(1) var<storage, read> x: array<{{if .Odd}}f32{{else}}vec4<f32>{{end}}>;
@group(0) @binding(2) var<storage, read> w: array<{{if .Odd}}f32{{else}}vec4<f32>{{end}}>;
@group(0) @binding(3) var<storage, read> rstd: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;
{{template "reduce" .}}
{{template "row" .}}
{{template "load4" .Array "dy"}}
{{template "load4" .Array "x"}}
{{template "load4" .Array "w"}}
{{template "weight" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let row = row_of(group, groups, local);
	if (row >= T) { return; }
	let lane = local % LANES;
	let words = rolled(WORDS, row);

	var inner = 0.0;
	for (var c = lane; c < words; c += LANES) {
		inner += dot(load_dy(row, c) * weight(c), load_x(row, c));
	}
	let r = rstd[row];
	let pull = total(lane, inner) * r * r * r / f32(H);
	for (var c = lane; c < words; c += LANES) {
		let v = load_dy(row, c) * weight(c) * r - load_x(row, c) * pull;
		for (var i = 0u; i < 4u; i++) {
			if (c * 4u + i < H) { dx[row * H + c * 4u + i] {{if .Accumulate}}+{{end}}= v[i]; }
		}
	}
}
