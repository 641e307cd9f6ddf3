// Last of three steps: code = clamp(round(w / scale), -1, 1) + 1, round half to even.
//   places, w [all weights], scale [all rows] -> codes [all rows, ceil(K/16)] u32, 16 codes a word from the low bits,
//   code 1 (zero) past K
// {{.Lanes}} invocations a chunk; each takes whole words.
{{template "places" .}}
{{read "w: array<%s>" .Element}}
{{read "scale: array<f32>"}}
{{write "codes: array<u32>"}}
{{template "reduce" .}}
{{template "row" .}}
// The codes of four weights, which are given in units of the scale. Up to a half rounds to 0.
fn four(x: vec4<f32>) -> u32 {
	let c = select(select(vec4<u32>(1u), vec4<u32>(0u), x < vec4<f32>(-0.5)), vec4<u32>(2u), x > vec4<f32>(0.5));
	return c.x | (c.y << 2u) | (c.z << 4u) | (c.w << 6u);
}

@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let row = row_of(group, groups, local);
	if (row >= {{.Chunks}}u) { return; }
	let lane = local % LANES;
	let chunk = places.chunks[row];
	let s = 1.0 / scale[chunk.scale];
	let words = (chunk.k + 15u) / 16u;
	for (var i = lane; i < chunk.rows * words; i += LANES) {
{{- if .Odd}}
		let first = chunk.weight + i / words * chunk.k;
		let k = i % words * 16u;
		var word = 0u;
		for (var j = 0u; j < 16u; j += 4u) {
			var x = vec4<f32>();
			for (var l = 0u; l < 4u; l++) {
				if (k + j + l < chunk.k) { x[l] = w[first + k + j + l] * s; }
			}
			word |= four(x) << (2u * j);
		}
		codes[chunk.code + i] = word;
{{- else}}
		let at = chunk.weight / 4u + i * 4u;
		codes[chunk.code + i] = four(w[at] * s) | (four(w[at + 1u] * s) << 8u) | (four(w[at + 2u] * s) << 16u) | (four(w[at + 3u] * s) << 24u);
{{- end}}
	}
}
