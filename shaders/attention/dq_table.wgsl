// Gradient of attention with respect to the queries (the formula of dq.wgsl), for lavapipe, with the layout of forward_table.wgsl.
//   qkv, lse, dout [B, SEQ, HEADS D], delta [B SEQ, HEADS] -> the queries' part of dqkv
// Workgroup (x, y): THREADS queries of PAIR heads from y % (HEADS / PAIR) PAIR on, of sequence y / (HEADS / PAIR).
{{- template "alone" .}}
{{- template "gradient bindings" .}}
{{template "uniform"}}
{{- $d := seq (div .HeadDim 4)}}{{$block := seq .Block}}{{$pair := seq .Pair}}
const PAIR = {{.Pair}}u;
@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let y = uniform{{digits (mul .Batch .Heads)}}(group.y);
	let head = y % (HEADS / PAIR) * PAIR;
	let base = (y / (HEADS / PAIR)) * SEQ;
	let k_at = (HEADS + head / GROUP) * D4;
	let v_at = k_at + KV_HEADS * D4;
	let t = group.x * THREADS + local;
	let row = base + min(t, SEQ - 1u);
{{- if .Documents}}
	let begin = begins[row];
{{- end}}
{{- range $h := $pair}}
	let lse{{$h}} = lse[row * HEADS + head + {{$h}}u];
	let delta{{$h}} = delta[row * HEADS + head + {{$h}}u];
	var q{{$h}}: array<vec4<f32>, D4>;
	var g{{$h}}: array<vec4<f32>, D4>;
	var dq{{$h}}: array<vec4<f32>, D4>;
{{- end}}
	for (var i = 0u; i < often(D4); i++) {
{{- range $h := $pair}}
		q{{$h}}[i] = qkv[row * STRIDE + (head + {{$h}}u) * D4 + i] * SCALE;
		g{{$h}}[i] = dout[(row * HEADS + head + {{$h}}u) * D4 + i];
		dq{{$h}}[i] = vec4<f32>();
{{- end}}
	}
	let end = min((group.x + 1u) * THREADS, SEQ);
	for (var first = {{if .Documents}}begins[base + group.x * THREADS]{{else}}0u{{end}}; first < end; first += BLOCK) {
		let j0 = uniform{{digits .Seq}}(first);
{{- range $j := $block}}
		let at{{$j}} = (base + min(j0 + {{$j}}u, SEQ - 1u)) * STRIDE;
	{{- range $h := $pair}}
		var s{{$h}}_{{$j}} = 0.0;
		var dp{{$h}}_{{$j}} = 0.0;
	{{- end}}
{{- end}}
{{- range $i := $d}}
		{
	{{- range $h := $pair}}
			let q{{$h}}_ = q{{$h}}[{{$i}}];
			let g{{$h}}_ = g{{$h}}[{{$i}}];
	{{- end}}
	{{- range $j := $block}}
			let k{{$j}} = qkv[at{{$j}} + k_at + {{$i}}u];
			let v{{$j}} = qkv[at{{$j}} + v_at + {{$i}}u];
		{{- range $h := $pair}}
			s{{$h}}_{{$j}} += dot(q{{$h}}_, k{{$j}});
			dp{{$h}}_{{$j}} += dot(g{{$h}}_, v{{$j}});
		{{- end}}
	{{- end}}
		}
{{- end}}
{{- range $h := $pair}}
	{{- range $j := $block}}
		let ds{{$h}}_{{$j}} = select(0.0, exp(s{{$h}}_{{$j}} - lse{{$h}}), j0 + {{$j}}u <= t{{if $.Documents}} && j0 + {{$j}}u >= begin{{end}}) * (dp{{$h}}_{{$j}} - delta{{$h}});
	{{- end}}
{{- end}}
{{- range $i := $d}}
		{
	{{- range $j := $block}}
			let k{{$j}} = qkv[at{{$j}} + k_at + {{$i}}u];
	{{- end}}
	{{- range $h := $pair}}
			dq{{$h}}[{{$i}}] = dq{{$h}}[{{$i}}]{{range $j := $block}} + ds{{$h}}_{{$j}} * k{{$j}}{{end}};
	{{- end}}
		}
{{- end}}
	}
	if (t >= SEQ) { return; }
{{- range $h := $pair}}
	for (var i = 0u; i < often(D4); i++) { dqkv[row * STRIDE + (head + {{$h}}u) * D4 + i] = dq{{$h}}[i] * SCALE; }
{{- end}}
}
