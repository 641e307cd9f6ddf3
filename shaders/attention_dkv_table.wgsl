// attention_dkv.wgsl for lavapipe: a lane has one key, and all lanes of a workgroup go through the same
// queries, which are loaded once for all. What a lane holds of its row lies in arrays.
// Workgroup (x, y): THREADS keys of key head y % KV_HEADS of sequence y / KV_HEADS.
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
	let y = {{un (mul .Batch .KVHeads) "group.y"}};
	let kv_head = y % KV_HEADS;
	let base = (y / KV_HEADS) * SEQ;
	let k_at = (HEADS + kv_head) * D4;
	let v_at = k_at + KV_HEADS * D4;
	let key = group.x * THREADS + local;
	let row = (base + min(key, SEQ - 1u)) * STRIDE;
	var k: array<vec4<f32>, D4>;
	var v: array<vec4<f32>, D4>;
	var dk: array<vec4<f32>, D4>;
	var dv: array<vec4<f32>, D4>;
	for (var i = 0u; i < often(D4); i++) {
		k[i] = qkv[row + k_at + i] * SCALE;
		v[i] = qkv[row + v_at + i];
		dk[i] = vec4<f32>();
		dv[i] = vec4<f32>();
	}
	for (var h = 0u; h < GROUP; h++) {
		let head = kv_head * GROUP + {{un .Heads "h"}};
		for (var first = group.x * THREADS; first < SEQ; first += BLOCK) {
			let at = {{un .Seq "first"}};
{{- range $j := $block}}
			let t{{$j}} = base + min(at + {{$j}}u, SEQ - 1u);
			let q{{$j}} = t{{$j}} * STRIDE + head * D4;
			let g{{$j}} = (t{{$j}} * HEADS + head) * D4;
			var s{{$j}} = 0.0;
			var dp{{$j}} = 0.0;
{{- end}}
{{- range $i := $d}}
			let k{{$i}} = k[{{$i}}];
			let v{{$i}} = v[{{$i}}];
	{{- range $j := $block}}
			s{{$j}} += dot(k{{$i}}, qkv[q{{$j}} + {{$i}}u]);
			dp{{$j}} += dot(v{{$i}}, dout[g{{$j}} + {{$i}}u]);
	{{- end}}
{{- end}}
{{- range $j := $block}}
			let p{{$j}} = select(0.0, exp(s{{$j}} - lse[t{{$j}} * HEADS + head]), at + {{$j}}u < SEQ && at + {{$j}}u >= key);
			let ds{{$j}} = p{{$j}} * (dp{{$j}} - delta[t{{$j}} * HEADS + head]);
{{- end}}
{{- range $i := $d}}
			dv[{{$i}}] = dv[{{$i}}]{{range $j := $block}} + p{{$j}} * dout[g{{$j}} + {{$i}}u]{{end}};
			dk[{{$i}}] = dk[{{$i}}]{{range $j := $block}} + ds{{$j}} * qkv[q{{$j}} + {{$i}}u]{{end}};
{{- end}}
		}
	}
	if (key >= SEQ) { return; }
	for (var i = 0u; i < often(D4); i++) {
		dqkv[row + k_at + i] = dk[i] * SCALE;
		dqkv[row + v_at + i] = dv[i];
	}
}
