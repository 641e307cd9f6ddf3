// attention_dq.wgsl for lavapipe, laid out as attention_table.wgsl is.
// Workgroup (x, y): THREADS queries of head y % HEADS of sequence y / HEADS.
{{- template "attention" .}}
@group(0) @binding(0) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> lse: array<f32>;
@group(0) @binding(2) var<storage, read> dout: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> delta: array<f32>;
@group(0) @binding(4) var<storage, read_write> dqkv: array<vec4<f32>>;
{{template "table"}}
{{- $d := seq (div .HeadDim 4)}}{{$block := seq .Block}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let y = {{un (mul .Batch .Heads) "group.y"}};
	let head = y % HEADS;
	let base = (y / HEADS) * SEQ;
	let k_at = (HEADS + head / GROUP) * D4;
	let v_at = k_at + KV_HEADS * D4;
	let t = group.x * THREADS + local;
	let row = base + min(t, SEQ - 1u);
	let row_lse = lse[row * HEADS + head];
	let row_delta = delta[row * HEADS + head];
	var q: array<vec4<f32>, D4>;
	var g: array<vec4<f32>, D4>;
	var dq: array<vec4<f32>, D4>;
	for (var i = 0u; i < often(D4); i++) {
		q[i] = qkv[row * STRIDE + head * D4 + i] * SCALE;
		g[i] = dout[(row * HEADS + head) * D4 + i];
		dq[i] = vec4<f32>();
	}
	let end = min((group.x + 1u) * THREADS, SEQ);
	for (var first = 0u; first < end; first += BLOCK) {
		let j0 = {{un .Seq "first"}};
{{- range $j := $block}}
		let at{{$j}} = (base + min(j0 + {{$j}}u, SEQ - 1u)) * STRIDE;
		var s{{$j}} = 0.0;
		var dp{{$j}} = 0.0;
{{- end}}
{{- range $i := $d}}
		let q{{$i}} = q[{{$i}}];
		let g{{$i}} = g[{{$i}}];
	{{- range $j := $block}}
		s{{$j}} += dot(q{{$i}}, qkv[at{{$j}} + k_at + {{$i}}u]);
		dp{{$j}} += dot(g{{$i}}, qkv[at{{$j}} + v_at + {{$i}}u]);
	{{- end}}
{{- end}}
{{- range $j := $block}}
		let ds{{$j}} = select(0.0, exp(s{{$j}} - row_lse), j0 + {{$j}}u <= t) * (dp{{$j}} - row_delta);
{{- end}}
{{- range $i := $d}}
		dq[{{$i}}] = dq[{{$i}}]{{range $j := $block}} + ds{{$j}} * qkv[at{{$j}} + k_at + {{$i}}u]{{end}};
{{- end}}
	}
	if (t >= SEQ) { return; }
	for (var i = 0u; i < often(D4); i++) { dqkv[row * STRIDE + head * D4 + i] = dq[i] * SCALE; }
}
