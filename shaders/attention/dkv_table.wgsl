// Gradient of attention with respect to keys and values (the formula of dkv.wgsl), for lavapipe: a lane has ROWS keys,
// and all lanes of a workgroup go through the same queries, which are loaded once for all. A lane keeps its rows in arrays.
//   qkv, lse, dout [B, SEQ, HEADS D], delta [B SEQ, HEADS] -> the keys' and values' part of dqkv
// Workgroup (x, y): THREADS ROWS keys of key head y % KV_HEADS of sequence y / KV_HEADS.
{{- template "alone" .}}
{{- template "gradient bindings" .}}
{{template "uniform"}}
{{- $d := seq (div .HeadDim 4)}}{{$block := seq .Block}}{{$rows := seq .Rows}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let y = uniform{{digits (mul .Batch .KVHeads)}}(group.y);
	let kv_head = y % KV_HEADS;
	let base = (y / KV_HEADS) * SEQ;
	let k_at = (HEADS + kv_head) * D4;
	let v_at = k_at + KV_HEADS * D4;
{{- range $r := $rows}}
	let key{{$r}} = (group.x * ROWS + {{$r}}u) * THREADS + local;
	let row{{$r}} = (base + min(key{{$r}}, SEQ - 1u)) * STRIDE;
	var k{{$r}}: array<vec4<f32>, D4>;
	var v{{$r}}: array<vec4<f32>, D4>;
	var dk{{$r}}: array<vec4<f32>, D4>;
	var dv{{$r}}: array<vec4<f32>, D4>;
{{- end}}
	for (var i = 0u; i < often(D4); i++) {
{{- range $r := $rows}}
		k{{$r}}[i] = qkv[row{{$r}} + k_at + i] * SCALE;
		v{{$r}}[i] = qkv[row{{$r}} + v_at + i];
		dk{{$r}}[i] = vec4<f32>();
		dv{{$r}}[i] = vec4<f32>();
{{- end}}
	}
	for (var h = 0u; h < GROUP; h++) {
		let head = kv_head * GROUP + uniform{{digits .Heads}}(h);
		for (var first = group.x * THREADS * ROWS; first < SEQ; first += BLOCK) {
			let at = uniform{{digits .Seq}}(first);
{{- if .Documents}}
			if (begins[base + at] >= (group.x + 1u) * THREADS * ROWS) { break; } // later queries see none of these keys either
{{- end}}
{{- range $j := $block}}
			let t{{$j}} = base + min(at + {{$j}}u, SEQ - 1u);
			let q{{$j}} = t{{$j}} * STRIDE + head * D4;
			let g{{$j}} = (t{{$j}} * HEADS + head) * D4;
	{{- range $r := $rows}}
			var s{{$r}}_{{$j}} = 0.0;
			var dp{{$r}}_{{$j}} = 0.0;
	{{- end}}
{{- end}}
{{- range $i := $d}}
			{
	{{- range $r := $rows}}
				let k{{$r}}_ = k{{$r}}[{{$i}}];
				let v{{$r}}_ = v{{$r}}[{{$i}}];
	{{- end}}
	{{- range $j := $block}}
				let q{{$j}}_ = qkv[q{{$j}} + {{$i}}u];
				let g{{$j}}_ = dout[g{{$j}} + {{$i}}u];
		{{- range $r := $rows}}
				s{{$r}}_{{$j}} += dot(k{{$r}}_, q{{$j}}_);
				dp{{$r}}_{{$j}} += dot(v{{$r}}_, g{{$j}}_);
		{{- end}}
	{{- end}}
			}
{{- end}}
{{- range $j := $block}}
{{- if $.Documents}}
			let begin{{$j}} = begins[t{{$j}}];
{{- end}}
			let lse{{$j}} = lse[t{{$j}} * HEADS + head];
			let delta{{$j}} = delta[t{{$j}} * HEADS + head];
	{{- range $r := $rows}}
			let p{{$r}}_{{$j}} = select(0.0, exp(s{{$r}}_{{$j}} - lse{{$j}}), at + {{$j}}u < SEQ && at + {{$j}}u >= key{{$r}}{{if $.Documents}} && begin{{$j}} <= key{{$r}}{{end}});
			let ds{{$r}}_{{$j}} = p{{$r}}_{{$j}} * (dp{{$r}}_{{$j}} - delta{{$j}});
	{{- end}}
{{- end}}
{{- range $i := $d}}
			{
	{{- range $j := $block}}
				let q{{$j}}_ = qkv[q{{$j}} + {{$i}}u];
				let g{{$j}}_ = dout[g{{$j}} + {{$i}}u];
	{{- end}}
	{{- range $r := $rows}}
				dv{{$r}}[{{$i}}] = dv{{$r}}[{{$i}}]{{range $j := $block}} + p{{$r}}_{{$j}} * g{{$j}}_{{end}};
				dk{{$r}}[{{$i}}] = dk{{$r}}[{{$i}}]{{range $j := $block}} + ds{{$r}}_{{$j}} * q{{$j}}_{{end}};
	{{- end}}
			}
{{- end}}
		}
	}
{{- range $r := $rows}}
	if (key{{$r}} < SEQ) {
		for (var i = 0u; i < often(D4); i++) {
			dqkv[row{{$r}} + k_at + i] = dk{{$r}}[i] * SCALE;
			dqkv[row{{$r}} + v_at + i] = dv{{$r}}[i];
		}
	}
{{- end}}
}
