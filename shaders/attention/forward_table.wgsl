// Causal grouped-query attention (the formula of forward.wgsl), for lavapipe: a lane has one query of PAIR heads that
// share their keys, and all lanes of a workgroup go through the same keys, which are loaded once for all. A lane keeps
// its rows in arrays.
//   qkv [B, SEQ, (HEADS + 2 KV_HEADS) D] (queries, keys, values) -> o [B, SEQ, HEADS D], lse [B SEQ, HEADS]
// Workgroup (x, y): THREADS queries of PAIR heads from y % (HEADS / PAIR) PAIR on, of sequence y / (HEADS / PAIR).
{{- template "alone" .}}
{{- template "forward bindings" .}}
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
	var q{{$h}}: array<vec4<f32>, D4>;
	var sum{{$h}}: array<vec4<f32>, D4>;
	var m{{$h}} = LOWEST;
	var l{{$h}} = 0.0;
{{- end}}
	for (var i = 0u; i < often(D4); i++) {
{{- range $h := $pair}}
		q{{$h}}[i] = qkv[row * STRIDE + (head + {{$h}}u) * D4 + i] * SCALE;
		sum{{$h}}[i] = vec4<f32>();
{{- end}}
	}
	let end = min((group.x + 1u) * THREADS, SEQ);
	for (var first = {{if .Documents}}begins[base + group.x * THREADS]{{else}}0u{{end}}; first < end; first += BLOCK) {
		let j0 = uniform{{digits .Seq}}(first);
{{- range $j := $block}}
		let at{{$j}} = (base + min(j0 + {{$j}}u, SEQ - 1u)) * STRIDE;
	{{- range $h := $pair}}
		var s{{$h}}_{{$j}} = 0.0;
	{{- end}}
{{- end}}
{{- range $i := $d}}
		{
	{{- range $h := $pair}}
			let q{{$h}}_ = q{{$h}}[{{$i}}];
	{{- end}}
	{{- range $j := $block}}
			let k{{$j}} = qkv[at{{$j}} + k_at + {{$i}}u];
		{{- range $h := $pair}}
			s{{$h}}_{{$j}} += dot(q{{$h}}_, k{{$j}});
		{{- end}}
	{{- end}}
		}
{{- end}}
{{- range $h := $pair}}
		let old{{$h}} = m{{$h}};
	{{- range $j := $block}}
		s{{$h}}_{{$j}} = select(LOWEST, s{{$h}}_{{$j}}, j0 + {{$j}}u <= t{{if $.Documents}} && j0 + {{$j}}u >= begin{{end}});
		m{{$h}} = max(m{{$h}}, s{{$h}}_{{$j}});
	{{- end}}
		let keep{{$h}} = exp(old{{$h}} - m{{$h}});
		l{{$h}} *= keep{{$h}};
	{{- range $j := $block}}
		let p{{$h}}_{{$j}} = select(0.0, exp(s{{$h}}_{{$j}} - m{{$h}}), j0 + {{$j}}u <= t{{if $.Documents}} && j0 + {{$j}}u >= begin{{end}});
		l{{$h}} += p{{$h}}_{{$j}};
	{{- end}}
{{- end}}
{{- range $i := $d}}
		{
	{{- range $j := $block}}
			let v{{$j}} = qkv[at{{$j}} + v_at + {{$i}}u];
	{{- end}}
	{{- range $h := $pair}}
			sum{{$h}}[{{$i}}] = sum{{$h}}[{{$i}}] * keep{{$h}}{{range $j := $block}} + p{{$h}}_{{$j}} * v{{$j}}{{end}};
	{{- end}}
		}
{{- end}}
	}
	if (t >= SEQ) { return; }
{{- range $h := $pair}}
	for (var i = 0u; i < often(D4); i++) { o[(row * HEADS + head + {{$h}}u) * D4 + i] = sum{{$h}}[i] / l{{$h}}; }
	lse[row * HEADS + head + {{$h}}u] = m{{$h}} + log(l{{$h}});
{{- end}}
}
