// Grouped-query attention of new tokens over all keys and values so far, for lavapipe, softmax in blocks of {{.Threads}} keys:
//   o[t, n] = sum over positions j <= p of softmax_j(SCALE q[t, n] . keys[j, n/GROUP]) values[j, n/GROUP],
//   where token t is at position p of a sequence, with the keys and values of that sequence.
//   places [2, T] (position, then sequence), qkv [T, (HEADS + 2 KV_HEADS) D],
//   keys and values [SEQUENCES, CONTEXT, KV_HEADS D] -> o [T, HEADS D]
// A token whose position is past CONTEXT belongs to no sequence: its result means nothing.
// A workgroup has one token and {{.PerGroup}} of its heads, which share keys. A lane takes one key of each block, then {{.Slots}} of the words
// of four features of the values.
{{- $heads := seq .PerGroup}}{{$slots := seq .Slots}}
const T = {{.Tokens}}u;
const PARTS = {{div .Heads .PerGroup}}u; // of the heads of a token
const CONTEXT = {{.Context}}u;
const HEADS = {{.Heads}}u;
const KV_HEADS = {{.KVHeads}}u;
const GROUP = HEADS / KV_HEADS;
const D4 = {{div .HeadDim 4}}u; // vec4 words of a head
const SCALE = {{f32 .Scale}};
const LANES = {{.Threads}}u;
const LOWEST = -3.4e38;

{{read "places: array<u32>"}}
{{read "qkv: array<vec4<f32>>"}}
{{read "keys: array<vec4<f32>>"}}
{{read "values: array<vec4<f32>>"}}
{{write "o: array<vec4<f32>>"}}
{{template "uniform"}}
{{- range $h := $heads}}
var<workgroup> scores{{$h}}: array<f32, {{$.Threads}}>; // of the keys of a block
var<workgroup> shares{{$h}}: array<f32, {{$.Threads}}>;
{{- end}}

@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let row = uniform{{digits .Rows}}(min(group.x + group.y * groups.x, T * PARTS - 1u));
	let t = row / PARTS;
	let head = row % PARTS * {{.PerGroup}}u;
	let position = places[t];
	let end = select(1u, position + 1u, position < CONTEXT); // one past the last position that it sees
	let q_at = (t * (HEADS + 2u * KV_HEADS) + head) * D4;
	let base = (places[T + t] * CONTEXT * KV_HEADS + head / GROUP) * D4;
{{- range $h := $heads}}
	var m{{$h}} = LOWEST;
	var l{{$h}} = 0.0;
	{{- range $s := $slots}}
	var sum{{$h}}_{{$s}} = vec4<f32>();
	{{- end}}
{{- end}}
	for (var first = 0u; first < end; first += LANES) {
		let at = base + min(first + local, end - 1u) * KV_HEADS * D4;
{{- range $h := $heads}}
		var s{{$h}} = 0.0;
{{- end}}
		for (var i = 0u; i < often(D4); i++) {
			let key = keys[at + i];
			let u = q_at + uniform{{digits .Words}}(i);
{{- range $h := $heads}}
			s{{$h}} += dot(qkv[u + {{$h}}u * D4], key);
{{- end}}
		}
		let seen = first + local < end;
{{- range $h := $heads}}
		s{{$h}} = select(LOWEST, s{{$h}} * SCALE, seen);
		scores{{$h}}[local] = s{{$h}};
{{- end}}
		workgroupBarrier();
{{- range $h := $heads}}
		let old{{$h}} = m{{$h}};
		m{{$h}} = max(m{{$h}}, {{template "largest of" (args "Name" (printf "scores%d" $h) "N" $.Threads)}});
		let keep{{$h}} = exp(old{{$h}} - m{{$h}});
		l{{$h}} *= keep{{$h}};
	{{- range $s := $slots}}
		sum{{$h}}_{{$s}} *= keep{{$h}};
	{{- end}}
		shares{{$h}}[local] = select(0.0, exp(s{{$h}} - m{{$h}}), seen);
{{- end}}
		workgroupBarrier();
		for (var j = 0u; j < min(often(LANES), end - first); j++) {
			let u = uniform1(j);
			let start = base + (first + j) * KV_HEADS * D4;
{{- range $s := $slots}}
			let value{{$s}} = values[start + min(local + {{mul $s $.Threads}}u, D4 - 1u)];
{{- end}}
{{- range $h := $heads}}
			let p{{$h}} = shares{{$h}}[u];
			l{{$h}} += p{{$h}};
	{{- range $s := $slots}}
			sum{{$h}}_{{$s}} += p{{$h}} * value{{$s}};
	{{- end}}
{{- end}}
		}
	}
{{- range $s := $slots}}
	if (local + {{mul $s $.Threads}}u < D4) {
{{- range $h := $heads}}
		o[(t * HEADS + head + {{$h}}u) * D4 + local + {{mul $s $.Threads}}u] = sum{{$h}}_{{$s}} / l{{$h}};
{{- end}}
	}
{{- end}}
}
{{define "largest of"}}{{range $i := seq (sub .N 1)}}max({{$.Name}}[{{$i}}], {{end}}{{.Name}}[{{sub .N 1}}]{{range $i := seq (sub .N 1)}}){{end}}{{end}}
