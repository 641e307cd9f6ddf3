// Last step: p <- p (1 - lr wd) - lr {{f32 .Scale}} x, and the gradient becomes zero.
// The factor is 0.2 sqrt(C): the change then has the root mean square that AdamW's has (Moonlight, arXiv 2502.16982).
//   places, x [matrices, R, C], step (lr, wd) -> p, g [all parameters]
{{template "matrices" .}}
{{read "x: array<f32>"}}
{{read "step: array<f32>"}}
{{write "p: array<f32>"}}
{{write "g: array<f32>"}}
{{template "stored" .}}
{{template "index" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
	let i = index(id, groups);
	if (i >= {{.Count}}u * SIZE) { return; }
	let at = stored(i / SIZE, i % SIZE);
	let lr = step[{{.LR}}];
	p[at] = p[at] * (1.0 - lr * step[{{.WD}}]) - lr * {{f32 .Scale}} * x[i];
	g[at] = 0.0;
}
