// Gradient of attention with respect to the queries, with p = exp(SCALE q . k - lse) recomputed:
//   dq[t, n] = SCALE sum over keys j <= t of p (do . v[j] - delta[t, n]) k[j]
//   qkv, lse, dout [B, SEQ, HEADS D], delta [B SEQ, HEADS] -> the queries' part of dqkv
// Workgroup (x, y): THREADS ROWS queries of head y % HEADS of sequence y / HEADS.
{{- template "alone" .}}
{{- template "gradient bindings" .}}
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
	let row{{$r}} = base + min(first + {{$r}}u, SEQ - 1u);
	let lse{{$r}} = lse[row{{$r}} * HEADS + head];
	let delta{{$r}} = delta[row{{$r}} * HEADS + head];
	{{- range $i := seq $d}}
	let q{{$r}}_{{$i}} = qkv[row{{$r}} * STRIDE + head * D4 + {{$i}}u] * SCALE;
	let do{{$r}}_{{$i}} = dout[(row{{$r}} * HEADS + head) * D4 + {{$i}}u];
	var dq{{$r}}_{{$i}} = vec4<f32>();
	{{- end}}
{{- end}}
	let end = min(first + ROWS, SEQ);
	for (var j = {{if .Documents}}begin0{{else}}0u{{end}}; j < end; j++) {
		let at = (base + j) * STRIDE;
{{- range $i := seq $d}}
		let k{{$i}} = qkv[at + k_at + {{$i}}u];
		let v{{$i}} = qkv[at + v_at + {{$i}}u];
{{- end}}
{{- range $r := seq $rows}}
		let p{{$r}} = select(0.0, exp({{range $i := seq $d}}dot(q{{$r}}_{{$i}}, k{{$i}}) + {{end}}-lse{{$r}}), j <= first + {{$r}}u{{if $.Documents}} && j >= begin{{$r}}{{end}});
		let ds{{$r}} = p{{$r}} * ({{range $i := seq $d}}dot(do{{$r}}_{{$i}}, v{{$i}}) + {{end}}-delta{{$r}});
	{{- range $i := seq $d}}
		dq{{$r}}_{{$i}} += ds{{$r}} * k{{$i}};
	{{- end}}
{{- end}}
	}
{{- range $r := seq $rows}}
	if (first + {{$r}}u < SEQ) {
	{{- range $i := seq $d}}
		dqkv[row{{$r}} * STRIDE + head * D4 + {{$i}}u] = dq{{$r}}_{{$i}} * SCALE;
	{{- end}}
	}
{{- end}}
}
