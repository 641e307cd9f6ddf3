// attention.wgsl for lavapipe: a lane has one query, and all lanes of a workgroup go through the same
// keys, which are loaded once for all. What a lane holds of its row lies in arrays.
// Workgroup (x, y): THREADS queries of head y % HEADS of sequence y / HEADS.
{{- template "attention" .}}
@group(0) @binding(0) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> o: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> lse: array<f32>;
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
	var q: array<vec4<f32>, D4>;
	var sum: array<vec4<f32>, D4>;
	for (var i = 0u; i < often(D4); i++) {
		q[i] = qkv[row * STRIDE + head * D4 + i] * SCALE;
		sum[i] = vec4<f32>();
	}
	var m = LOWEST;
	var l = 0.0;
	let end = min((group.x + 1u) * THREADS, SEQ);
	for (var first = 0u; first < end; first += BLOCK) {
		let j0 = {{un .Seq "first"}};
{{- range $j := $block}}
		let at{{$j}} = (base + min(j0 + {{$j}}u, SEQ - 1u)) * STRIDE;
		var s{{$j}} = 0.0;
{{- end}}
{{- range $i := $d}}
		let q{{$i}} = q[{{$i}}];
	{{- range $j := $block}}
		s{{$j}} += dot(q{{$i}}, qkv[at{{$j}} + k_at + {{$i}}u]);
	{{- end}}
{{- end}}
		let old = m;
{{- range $j := $block}}
		s{{$j}} = select(LOWEST, s{{$j}}, j0 + {{$j}}u <= t);
		m = max(m, s{{$j}});
{{- end}}
		let keep = exp(old - m);
		l *= keep;
{{- range $j := $block}}
		let p{{$j}} = select(0.0, exp(s{{$j}} - m), j0 + {{$j}}u <= t);
		l += p{{$j}};
{{- end}}
{{- range $i := $d}}
		sum[{{$i}}] = sum[{{$i}}] * keep{{range $j := $block}} + p{{$j}} * qkv[at{{$j}} + v_at + {{$i}}u]{{end}};
{{- end}}
	}
	if (t >= SEQ) { return; }
	for (var i = 0u; i < often(D4); i++) { o[(row * HEADS + head) * D4 + i] = sum[i] / l; }
	lse[row * HEADS + head] = m + log(l);
}
