// Third step: x[z] = factor[z] g(z), with the shorter side first.
//   places, g [all parameters], factor [matrices] -> x [matrices, R, C]
// x holds 2 matrices [R, C], R <= C. Each lies in the flat parameters from element at on: as it is, or transposed.
const R = 4u;
const C = 8u;
const SIZE = R * C;
struct Matrix { at: u32, transposed: u32 }
@group(0) @binding(0) var<storage, read> places: array<Matrix>;
@group(0) @binding(1) var<storage, read> g: array<f32>;
@group(0) @binding(2) var<storage, read> factor: array<f32>;
@group(0) @binding(3) var<storage, read_write> x: array<f32>;

// Where element i of matrix z of x is stored.
fn stored(z: u32, i: u32) -> u32 {
	let place = places[z];
	if (place.transposed != 0u) { return place.at + i % C * R + i / C; }
	return place.at + i;
}

// The number of this invocation in the whole dispatch.
fn index(id: vec3<u32>, groups: vec3<u32>) -> u32 {
	return id.x + id.y * groups.x * 256u;
}

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
	let i = index(id, groups);
	if (i >= 2u * SIZE) { return; }
	let z = i / SIZE;
	x[i] = factor[z] * g[stored(z, i % SIZE)];
}
