// Gradient of RMSNorm; the part of the weight is summed over blocks of rows:
//   dx[t, h] {{if .Accumulate}}+{{end}}= r dy w - x r^3 mean_h(dy w x),  r = rstd[t]
//   part[b, h] = sum over the rows t of block b of dy x r
//   dy [T, H], w [H], rstd [T] -> part [ceil(T/{{.Block}}), H], and
{{- if .Gated}}
// where x[t, h] = act(gu[t, h]) gu[t, H + h], {{template "act" .}}, act' = {{if .Relu2}}2 max(x, 0){{else}}s (1 + x (1 - s)), s = 1 / (1 + exp(-x)){{end}},
// and dx becomes the gradient of gate and up,
//   dgu[t, h] {{if .Accumulate}}+{{end}}= dx gu[t, H + h] act'(gu[t, h]), dgu[t, H + h] {{if .Accumulate}}+{{end}}= dx act(gu[t, h]);  gu, dgu [T, 2H]{{if .InPlace}}; dgu takes the place of gu{{end}}
{{- else}}
//   x [T, H] -> dx [T, H]
{{- end}}
// The gradient passes straight through a quantisation after the norm.
const T = {{.Tokens}}u;
const H = {{.Width}}u;
const WORDS = (H + 3u) / 4u;
const BLOCK = {{.Block}}u;
const BLOCKS = (T + BLOCK - 1u) / BLOCK;

{{read "dy: array<%s>" .Four}}
{{if .InPlace}}{{write "gu: array<%s>" .Four}}{{else}}{{read "%s: array<%s>" .Input .Four}}{{end}}
{{read "w: array<%s>" .Four}}
{{read "rstd: array<f32>"}}
{{- if not .InPlace}}
{{write "d_%s: array<%s>" .Input .Four}}
{{- end}}
{{write "part: array<%s>" .Four}}
{{template "reduce" .}}
{{template "load4" .Array "dy"}}
{{template "load4" .Array "w"}}
{{template "weight" .}}
{{template "normed" .}}
{{template "put4" .Array "part"}}
{{- range .Gradients}}
{{template "put4" .}}
{{- end}}

// What all gradients of a row need: r, and r^3 mean_h(dy w x) from the sum.
fn scale_of(row: u32, sum: f32) -> vec2<f32> {
	let r = rstd[row];
	return vec2<f32>(r, sum * r * r * r / f32(H));
}

fn pull(row: u32, c: u32) -> f32 { return dot(load_dy(row, c) * weight(c), normed(row, c)); }

// gradients writes the gradients of four inputs, and returns their part of the gradient of the weight.
fn gradients(row: u32, c: u32, weights: vec4<f32>, scale: vec2<f32>) -> vec4<f32> {
	let dy = load_dy(row, c);
{{- if .Gated}}
	let g = load_gate(row, c);
	let u = load_up(row, c);
{{- if .Relu2}}
	let m = max(g, vec4<f32>());
	let a = m * m;
	let slope = 2.0 * m;
{{- else}}
	let s = vec4<f32>(1.0) / (vec4<f32>(1.0) + exp(-g));
	let a = g * s;
	let slope = s * (vec4<f32>(1.0) + g * (vec4<f32>(1.0) - s));
{{- end}}
	let x = a * u;
	let dx = dy * weights * scale.x - x * scale.y;
	put_dgate(row, c, dx * u * slope);
	put_dup(row, c, dx * a);
{{- else}}
	let x = load_x(row, c);
	put_dx(row, c, dy * weights * scale.x - x * scale.y);
{{- end}}
	return dy * x * scale.x;
}
{{if eq .Lanes 1}}
var<workgroup> scales: array<vec2<f32>, {{.Block}}>;
{{end}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let block = group.x + group.y * groups.x;
	if (block >= BLOCKS) { return; }
	let first = block * BLOCK;
	let unknown = group.x >> 31u; // 0, but the compiler cannot see that and does not unroll loops
	let end = min(first + BLOCK, T) + unknown;
{{- if eq .Lanes 1}}
	// Each invocation sums a row, then takes columns of all rows: columns are adjacent in memory, rows are not.
	let row = first + local;
	let words = WORDS + unknown;
	if (row < T) {
		var sum = 0.0;
		for (var c = 0u; c < words; c++) { sum += pull(row, c); }
		scales[local] = scale_of(row, sum);
	}
	workgroupBarrier();
{{- if .InPlace}}
	storageBarrier(); // all rows are summed before one is overwritten
{{- end}}
	for (var c = local; c < words; c += BLOCK) {
		let weights = load_w(0u, c);
		var sum = vec4<f32>();
		for (var t = first; t < end; t++) { sum += gradients(t, c, weights, scales[{{if .Table}}uniform{{digits .Block}}(t - first){{else}}t - first{{end}}]); }
		put_part(block, c, sum);
	}
{{- else}}
	var sums: array<vec4<f32>, {{.PerLane}}>;
	for (var t = first; t < end; t++) {
		var sum = 0.0;
		for (var c = local; c < WORDS; c += LANES) { sum += pull(t, c); }
		let scale = scale_of(t, total(local, sum));
		for (var i = 0u; i < {{.PerLane}}u; i++) {
			let c = local + i * LANES;
			if (c < WORDS) { sums[i] += gradients(t, c, load_w(0u, c), scale); }
		}
	}
	for (var i = 0u; i < {{.PerLane}}u; i++) {
		let c = local + i * LANES;
		if (c < WORDS) { put_part(block, c, sums[i]); }
	}
{{- end}}
}
