// Causal grouped-query attention with a streaming softmax; no [SEQ, SEQ] matrix is stored:
//   o[t, n] = sum over keys j <= t of softmax_j(SCALE q[t, n] . k[j, n/GROUP]) v[j, n/GROUP]
//   lse[t, n] = logsumexp_j(SCALE q . k), kept for the gradient
//   qkv [B, SEQ, (HEADS + 2 KV_HEADS) D] (queries, keys, values) -> o [B, SEQ, HEADS D], lse [B SEQ, HEADS]
// Workgroup (x, y): THREADS ROWS queries of head y % HEADS of sequence y / HEADS.
{{- template "alone" .}}
{{- template "forward bindings" .}}
{{$d := div .HeadDim 4}}{{$rows := .Rows}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let head = group.y % HEADS;
	let base = (group.y / HEADS) * SEQ;
	let first = (group.x * THREADS + local) * ROWS;
	let k_at = (HEADS + head / GROUP) * D4;
	let v_at = k_at + KV_HEADS * D4;
{{- range $r := seq $rows}}
{{- if $.Documents}}
	let begin{{$r}} = begins[base + min(first + {{$r}}u, SEQ - 1u)];
{{- end}}
	let q{{$r}}_at = (base + min(first + {{$r}}u, SEQ - 1u)) * STRIDE + head * D4;
	{{- range $i := seq $d}}
	let q{{$r}}_{{$i}} = qkv[q{{$r}}_at + {{$i}}u] * SCALE;
	var o{{$r}}_{{$i}} = vec4<f32>();
	{{- end}}
	var m{{$r}} = LOWEST;
	var l{{$r}} = 0.0;
{{- end}}
	// The last key that any of these queries sees.
	let end = min(first + ROWS, SEQ);
	for (var j = {{if .Documents}}begin0{{else}}0u{{end}}; j < end; j++) {
		let at = (base + j) * STRIDE;
{{- range $i := seq $d}}
		let k{{$i}} = qkv[at + k_at + {{$i}}u];
		let v{{$i}} = qkv[at + v_at + {{$i}}u];
{{- end}}
{{- range $r := seq $rows}}
		let s{{$r}} = select(LOWEST, {{range $i := seq $d}}{{if $i}} + {{end}}dot(q{{$r}}_{{$i}}, k{{$i}}){{end}}, j <= first + {{$r}}u{{if $.Documents}} && j >= begin{{$r}}{{end}});
		let old{{$r}} = m{{$r}};
		m{{$r}} = max(m{{$r}}, s{{$r}});
		let keep{{$r}} = exp(old{{$r}} - m{{$r}});
		let p{{$r}} = select(0.0, exp(s{{$r}} - m{{$r}}), j <= first + {{$r}}u{{if $.Documents}} && j >= begin{{$r}}{{end}});
		l{{$r}} = l{{$r}} * keep{{$r}} + p{{$r}};
	{{- range $i := seq $d}}
		o{{$r}}_{{$i}} = o{{$r}}_{{$i}} * keep{{$r}} + p{{$r}} * v{{$i}};
	{{- end}}
{{- end}}
	}
{{- range $r := seq $rows}}
	if (first + {{$r}}u < SEQ) {
		let row = (base + first + {{$r}}u) * HEADS + head;
	{{- range $i := seq $d}}
		o[row * D4 + {{$i}}u] = o{{$r}}_{{$i}} / l{{$r}};
	{{- end}}
		lse[row] = m{{$r}} + log(l{{$r}});
	}
{{- end}}
}
