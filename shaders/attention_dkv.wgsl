// Gradient of attention with respect to keys and values, with p = exp(SCALE q . k - lse) computed again:
//   dv[j, m] = sum over the heads n of group m and queries t >= j of p do[t, n]
//   dk[j, m] = SCALE sum over the same of p (do . v - delta[t, n]) q[t, n]
//   qkv, lse, dout [B, SEQ, HEADS D], delta [B SEQ, HEADS] -> the keys' and values' part of dqkv
// Workgroup (x, y): THREADS ROWS keys of key head y % KV_HEADS of sequence y / KV_HEADS.
{{- template "attention" .}}
@group(0) @binding(0) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> lse: array<f32>;
@group(0) @binding(2) var<storage, read> dout: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> delta: array<f32>;
@group(0) @binding(4) var<storage, read_write> dqkv: array<vec4<f32>>;
{{$d := div .HeadDim 4}}{{$rows := .Rows}}{{$block := .Block}}
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
	// The first query that sees any of these keys.
	let start = first / TILE * TILE;
	for (var head = kv_head * GROUP; head < (kv_head + 1u) * GROUP; head++) {
		for (var tile = start; tile < SEQ; tile += TILE) {
			for (var block = 0u; block < min(TILE, SEQ - tile); block += BLOCK) {
				let t_first = tile + block;
{{- range $j := seq $block}}
				let t{{$j}} = base + min(t_first + {{$j}}u, SEQ - 1u);
				let lse{{$j}} = lse[t{{$j}} * HEADS + head];
				let delta{{$j}} = delta[t{{$j}} * HEADS + head];
	{{- range $i := seq $d}}
				let q{{$j}}_{{$i}} = qkv[t{{$j}} * STRIDE + head * D4 + {{$i}}u];
				let do{{$j}}_{{$i}} = dout[(t{{$j}} * HEADS + head) * D4 + {{$i}}u];
	{{- end}}
	{{- range $r := seq $rows}}
				let p{{$r}}_{{$j}} = select(0.0, exp({{range $i := seq $d}}dot(q{{$j}}_{{$i}}, k{{$r}}_{{$i}}) + {{end}}-lse{{$j}}), t_first + {{$j}}u < SEQ && t_first + {{$j}}u >= first + {{$r}}u);
				let ds{{$r}}_{{$j}} = p{{$r}}_{{$j}} * ({{range $i := seq $d}}dot(do{{$j}}_{{$i}}, v{{$r}}_{{$i}}) + {{end}}-delta{{$j}});
		{{- range $i := seq $d}}
				dv{{$r}}_{{$i}} += p{{$r}}_{{$j}} * do{{$j}}_{{$i}};
				dk{{$r}}_{{$i}} += ds{{$r}}_{{$j}} * q{{$j}}_{{$i}};
		{{- end}}
	{{- end}}
{{- end}}
			}
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
