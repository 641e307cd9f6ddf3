// Gradient of attention with respect to the queries, with p = exp(SCALE q . k - lse) computed again:
//   dq[t, n] = SCALE sum over keys j <= t of p (do . v[j] - delta[t, n]) k[j]
//   qkv, lse, dout [B, SEQ, HEADS D], delta [B SEQ, HEADS] -> the queries' part of dqkv
// Workgroup (x, y): THREADS ROWS queries of head y % HEADS of sequence y / HEADS.
{{- template "attention" .}}
@group(0) @binding(0) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> lse: array<f32>;
@group(0) @binding(2) var<storage, read> dout: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> delta: array<f32>;
@group(0) @binding(4) var<storage, read_write> dqkv: array<vec4<f32>>;
{{$d := div .HeadDim 4}}{{$rows := .Rows}}{{$block := .Block}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let head = group.y % HEADS;
	let base = (group.y / HEADS) * SEQ;
	let first = (group.x * THREADS + local) * ROWS;
	let k_at = (HEADS + head / GROUP) * D4;
	let v_at = k_at + KV_HEADS * D4;
{{- range $r := seq $rows}}
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
	for (var tile = 0u; tile < end; tile += TILE) {
		for (var block = 0u; block < min(TILE, end - tile); block += BLOCK) {
			let j0 = tile + block;
{{- range $j := seq $block}}
			let at{{$j}} = (base + min(j0 + {{$j}}u, SEQ - 1u)) * STRIDE;
	{{- range $i := seq $d}}
			let k{{$j}}_{{$i}} = qkv[at{{$j}} + k_at + {{$i}}u];
			let v{{$j}}_{{$i}} = qkv[at{{$j}} + v_at + {{$i}}u];
	{{- end}}
	{{- range $r := seq $rows}}
			let p{{$r}}_{{$j}} = select(0.0, exp({{range $i := seq $d}}dot(q{{$r}}_{{$i}}, k{{$j}}_{{$i}}) + {{end}}-lse{{$r}}), j0 + {{$j}}u <= first + {{$r}}u);
			let ds{{$r}}_{{$j}} = p{{$r}}_{{$j}} * ({{range $i := seq $d}}dot(do{{$r}}_{{$i}}, v{{$j}}_{{$i}}) + {{end}}-delta{{$r}});
		{{- range $i := seq $d}}
			dq{{$r}}_{{$i}} += ds{{$r}}_{{$j}} * k{{$j}}_{{$i}};
		{{- end}}
	{{- end}}
{{- end}}
		}
	}
{{- range $r := seq $rows}}
	if (first + {{$r}}u < SEQ) {
	{{- range $i := seq $d}}
		dqkv[row{{$r}} * STRIDE + head * D4 + {{$i}}u] = dq{{$r}}_{{$i}} * SCALE;
	{{- end}}
	}
{{- end}}
}
