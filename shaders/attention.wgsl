{{- define "attention"}}
const SEQ = {{.Seq}}u;
const HEADS = {{.Heads}}u;
const KV_HEADS = {{.KVHeads}}u;
const GROUP = HEADS / KV_HEADS;
const D4 = {{div .HeadDim 4}}u; // vec4 words of a head
const STRIDE = (HEADS + 2u * KV_HEADS) * D4; // words of a row of qkv
const SCALE = {{f32 .Scale}};
const THREADS = {{.Threads}}u;
const ROWS = {{.Rows}}u; // an invocation
const TILE = {{.Tile}}u; // rows of the other side, staged together
const BLOCK = {{.Block}}u; // of those, unrolled together
const LOWEST = -3.4e38;
{{end -}}
// Causal grouped-query attention with a streaming softmax; no [SEQ, SEQ] matrix is stored:
//   o[t, n] = sum over keys j <= t of softmax_j(SCALE q[t, n] . k[j, n/GROUP]) v[j, n/GROUP]
//   lse[t, n] = logsumexp_j(SCALE q . k), kept for the gradient
//   qkv [B, SEQ, (HEADS + 2 KV_HEADS) D] (queries, keys, values) -> o [B, SEQ, HEADS D], lse [B SEQ, HEADS]
// Workgroup (x, y): THREADS ROWS queries of head y % HEADS of sequence y / HEADS.
{{- template "attention" .}}
@group(0) @binding(0) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> o: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> lse: array<f32>;
{{$d := div .HeadDim 4}}{{$rows := .Rows}}{{$block := .Block}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let head = group.y % HEADS;
	let base = (group.y / HEADS) * SEQ;
	let first = (group.x * THREADS + local) * ROWS;
	let k_at = (HEADS + head / GROUP) * D4;
	let v_at = k_at + KV_HEADS * D4;
{{- range $r := seq $rows}}
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
	for (var tile = 0u; tile < end; tile += TILE) {
		for (var block = 0u; block < min(TILE, end - tile); block += BLOCK) {
			let j0 = tile + block;
{{- range $j := seq $block}}
			let at{{$j}} = (base + min(j0 + {{$j}}u, SEQ - 1u)) * STRIDE;
	{{- range $i := seq $d}}
			let k{{$j}}_{{$i}} = qkv[at{{$j}} + k_at + {{$i}}u];
	{{- end}}
	{{- range $r := seq $rows}}
			let s{{$r}}_{{$j}} = select(LOWEST, {{range $i := seq $d}}{{if $i}} + {{end}}dot(q{{$r}}_{{$i}}, k{{$j}}_{{$i}}){{end}}, j0 + {{$j}}u <= first + {{$r}}u);
	{{- end}}
{{- end}}
{{- range $r := seq $rows}}
			let old{{$r}} = m{{$r}};
	{{- range $j := seq $block}}
			m{{$r}} = max(m{{$r}}, s{{$r}}_{{$j}});
	{{- end}}
			let keep{{$r}} = exp(old{{$r}} - m{{$r}});
	{{- range $i := seq $d}}
			o{{$r}}_{{$i}} *= keep{{$r}};
	{{- end}}
			l{{$r}} *= keep{{$r}};
	{{- range $j := seq $block}}
			let p{{$r}}_{{$j}} = select(0.0, exp(s{{$r}}_{{$j}} - m{{$r}}), j0 + {{$j}}u <= first + {{$r}}u);
			l{{$r}} += p{{$r}}_{{$j}};
	{{- end}}
{{- end}}
{{- range $j := seq $block}}{{range $i := seq $d}}
			let v{{$j}}_{{$i}} = qkv[at{{$j}} + v_at + {{$i}}u];
	{{- range $r := seq $rows}}
			o{{$r}}_{{$i}} += p{{$r}}_{{$j}} * v{{$j}}_{{$i}};
	{{- end}}
{{- end}}{{end}}
		}
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
