// Gradient of attention with respect to keys and values, with p = exp(SCALE q . k - lse) recomputed:
//   dv[j, m] = sum over the heads n of group m and queries t >= j of p do[t, n]
//   dk[j, m] = SCALE sum over the same of p (do . v - delta[t, n]) q[t, n]
//   qkv, lse, dout [B, SEQ, HEADS D], delta [B SEQ, HEADS] -> the keys' and values' part of dqkv
// Workgroup (x, y): THREADS ROWS keys of key head y % KV_HEADS of sequence y / KV_HEADS.
{{- template "alone" .}}
{{- template "gradient bindings" .}}
{{$d := div .HeadDim 4}}{{$rows := .Rows}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let kv_head = group.y % KV_HEADS;
	let base = (group.y / KV_HEADS) * SEQ;
	let first = (group.x * THREADS + local) * ROWS;
	let k_at = (HEADS + kv_head) * D4;
	let v_at = k_at + KV_HEADS * D4;
{{- range $r := seq $rows}}
	let row{{$r}} = (base + min(first + {{$r}}u, SEQ - 1u)) * STRIDE;
	{{- range $i := seq $d}}
	let k{{$r}}_{{$i}} = qkv[row{{$r}} + k_at + {{$i}}u] * SCALE;
	let v{{$r}}_{{$i}} = qkv[row{{$r}} + v_at + {{$i}}u];
	var dk{{$r}}_{{$i}} = vec4<f32>();
	var dv{{$r}}_{{$i}} = vec4<f32>();
	{{- end}}
{{- end}}
	for (var head = kv_head * GROUP; head < (kv_head + 1u) * GROUP; head++) {
		for (var t = first; t < SEQ; t++) { // the queries that see any of these keys
			let row = base + t;
{{- if .Documents}}
			let begin = begins[row];
			if (begin >= first + ROWS) { break; } // and so do all later queries
{{- end}}
			let lse_t = lse[row * HEADS + head];
			let delta_t = delta[row * HEADS + head];
{{- range $i := seq $d}}
			let q{{$i}} = qkv[row * STRIDE + head * D4 + {{$i}}u];
			let do{{$i}} = dout[(row * HEADS + head) * D4 + {{$i}}u];
{{- end}}
{{- range $r := seq $rows}}
			let p{{$r}} = select(0.0, exp({{range $i := seq $d}}dot(q{{$i}}, k{{$r}}_{{$i}}) + {{end}}-lse_t), t >= first + {{$r}}u{{if $.Documents}} && begin <= first + {{$r}}u{{end}});
			let ds{{$r}} = p{{$r}} * ({{range $i := seq $d}}dot(do{{$i}}, v{{$r}}_{{$i}}) + {{end}}-delta_t);
	{{- range $i := seq $d}}
			dv{{$r}}_{{$i}} += p{{$r}} * do{{$i}};
			dk{{$r}}_{{$i}} += ds{{$r}} * q{{$i}};
	{{- end}}
{{- end}}
		}
	}
{{- range $r := seq $rows}}
	if (first + {{$r}}u < SEQ) {
	{{- range $i := seq $d}}
		dqkv[row{{$r}} + k_at + {{$i}}u] = dk{{$r}}_{{$i}} * SCALE;
		dqkv[row{{$r}} + v_at + {{$i}}u] = dv{{$r}}_{{$i}};
	{{- end}}
	}
{{- end}}
}
