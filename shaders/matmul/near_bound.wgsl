// What the largest value of each row of a product is at least, if b was rounded to int8 by rows: see near.wgsl.
//   bound[m, 1] = HALF sum_k |a[m, k]|: by how many scale[n] a value of row m may be wrong,
//   bound[m, 0] = max_n c[m, n] - bound[m, 1] scale[n]
//   a [M, K], scale [N], c [M, N] -> bound [M, 2]; one workgroup a row
const N = {{.N}}u;
const WORDS = {{.Words}}u; // vec4 of a row of a
const HALF = {{f32 .Half}};
{{read "a: array<vec4<f32>>"}}
{{read "scale: array<f32>"}}
{{read "c: array<f32>"}}
{{write "bound: array<f32>"}}
{{template "reduce" .}}
{{template "row" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
	let row = row_of(group, groups, lane);
	var sum = 0.0;
	for (var k = lane; k < WORDS; k += LANES) {
		let v = abs(a[row * WORDS + k]);
		sum += v.x + v.y + v.z + v.w;
	}
	let error = HALF * total(lane, sum);
	var m = -3.4e38;
	for (var n = lane; n < N; n += LANES) { m = max(m, c[row * N + n] - error * scale[n]); }
	m = largest(lane, m);
	if (lane == 0u) {
		bound[2u * row] = m;
		bound[2u * row + 1u] = error;
	}
}
