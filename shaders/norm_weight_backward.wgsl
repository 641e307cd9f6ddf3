// Gradient of RMSNorm with respect to its weight, in blocks of rows:
//   part[b, h] = sum over the rows t of block b of dy[t, h] x[t, h] rstd[t]
//   dy [T, H], x [T, H], rstd [T] -> part [ceil(T/{{.Block}}), H]; one invocation a (block, column)
const T = {{.Tokens}}u;
const H = {{.Width}}u;
const BLOCK = {{.Block}}u;
const BLOCKS = (T + BLOCK - 1u) / BLOCK;

@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> rstd: array<f32>;
@group(0) @binding(3) var<storage, read_write> part: array<f32>;
{{template "index" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
	let i = index(id, groups);
	if (i >= BLOCKS * H) { return; }
	let first = (i / H) * BLOCK;
	let h = i % H;
	var sum = 0.0;
	for (var t = first; t < min(first + BLOCK, T); t++) {
		sum += dy[t * H + h] * x[t * H + h] * rstd[t];
	}
	part[i] = sum;
}
