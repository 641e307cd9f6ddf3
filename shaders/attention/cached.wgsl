// Grouped-query attention of new tokens over all keys and values so far, softmax in blocks:
//   o[t, n] = sum over positions j <= p of softmax_j(SCALE q[t, n] . keys[j, n/GROUP]) values[j, n/GROUP],
//   where token t is at position p of a sequence, with the keys and values of that sequence.
//   places [2, T] (position, then sequence), qkv [T, (HEADS + 2 KV_HEADS) D],
//   keys and values [SEQUENCES, CONTEXT, KV_HEADS D] -> o [T, HEADS D]
// A token whose position is past CONTEXT belongs to no sequence: its result means nothing.
{{- if .Shared}}
// A workgroup has one token and head: a lane takes one key of each block, then some features of the values.
{{- else}}
// An invocation has one token and head.
{{- end}}
const T = {{.Tokens}}u;
const ROWS = T * HEADS;
const CONTEXT = {{.Context}}u;
const HEADS = {{.Heads}}u;
const KV_HEADS = {{.KVHeads}}u;
const GROUP = HEADS / KV_HEADS;
const D4 = {{div .HeadDim 4}}u; // vec4 words of a head
const SCALE = {{f32 .Scale}};
const THREADS = {{.Threads}}u;
const LOWEST = -3.4e38;

{{read "places: array<u32>"}}
{{read "qkv: array<vec4<f32>>"}}
{{read "keys: array<vec4<f32>>"}}
{{read "values: array<vec4<f32>>"}}
{{write "o: array<vec4<f32>>"}}
{{- if .Shared}}
var<workgroup> query: array<vec4<f32>, {{div .HeadDim 4}}>;
var<workgroup> scores: array<f32, {{.Threads}}>;
var<workgroup> lanes: array<f32, {{.Threads}}>;
{{end}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
{{- if .Shared}}
	let row = group.x + group.y * groups.x;
{{- else}}
	let row = (group.x + group.y * groups.x) * THREADS + local;
{{- end}}
	if (row >= ROWS) { return; }
	let t = row / HEADS;
	let head = row % HEADS;
	let position = places[t];
	let end = select(1u, position + 1u, position < CONTEXT); // one past the last position that it sees
	let q_at = t * (HEADS + 2u * KV_HEADS) * D4 + head * D4;
	let base = (places[T + t] * CONTEXT * KV_HEADS + head / GROUP) * D4;
{{- if .Shared}}
	for (var i = local; i < D4; i += THREADS) { query[i] = qkv[q_at + i] * SCALE; }
	workgroupBarrier();
	var m = LOWEST;
	var l = 0.0;
	var sum = vec4<f32>();
	// Lane i < parts D4 sums word i % D4 of the values of every parts-th key.
	let parts = THREADS / D4;
	let word = local % D4;
	let part = local / D4;
	for (var first = 0u; first < end; first += THREADS) {
		var s = LOWEST;
		if (first + local < end) {
			let at = base + (first + local) * KV_HEADS * D4;
			s = 0.0;
			for (var i = 0u; i < D4; i++) { s += dot(query[i], keys[at + i]); }
		}
		lanes[local] = s;
		workgroupBarrier();
		for (var half = THREADS / 2u; half > 0u; half /= 2u) {
			if (local < half) { lanes[local] = max(lanes[local], lanes[local + half]); }
			workgroupBarrier();
		}
		let old = m;
		m = max(m, lanes[0]);
		let p = select(0.0, exp(s - m), first + local < end);
		workgroupBarrier();
		scores[local] = p;
		lanes[local] = p;
		workgroupBarrier();
		for (var half = THREADS / 2u; half > 0u; half /= 2u) {
			if (local < half) { lanes[local] += lanes[local + half]; }
			workgroupBarrier();
		}
		let keep = exp(old - m);
		l = l * keep + lanes[0];
		sum *= keep;
		if (part < parts) {
			for (var j = part; j < min(THREADS, end - first); j += parts) {
				sum += scores[j] * values[base + (first + j) * KV_HEADS * D4 + word];
			}
		}
		workgroupBarrier();
	}
	// Adds the parts of each word, one feature after another.
	for (var f = 0u; f < 4u; f++) {
		lanes[local] = sum[f];
		workgroupBarrier();
		if (local < D4) {
			var v = 0.0;
			for (var i = 0u; i < parts; i++) { v += lanes[i * D4 + local]; }
			sum[f] = v;
		}
		workgroupBarrier();
	}
	if (local < D4) { o[row * D4 + local] = sum / l; }
{{- else}}
	// rolled is 1, but the compiler cannot see that and does not unroll loops up to a multiple of it.
	let rolled = 1u + (row >> 31u);
	var q: array<vec4<f32>, D4>;
	var sum: array<vec4<f32>, D4>;
	for (var i = 0u; i < D4 * rolled; i++) {
		q[i] = qkv[q_at + i] * SCALE;
		sum[i] = vec4<f32>();
	}
	var m = LOWEST;
	var l = 0.0;
	for (var j = 0u; j < end; j++) {
		let at = base + j * KV_HEADS * D4;
		var s = 0.0;
		for (var i = 0u; i < D4 * rolled; i++) { s += dot(q[i], keys[at + i]); }
		let old = m;
		m = max(m, s);
		let keep = exp(old - m);
		let p = exp(s - m);
		l = l * keep + p;
		for (var i = 0u; i < D4 * rolled; i++) { sum[i] = sum[i] * keep + p * values[at + i]; }
	}
	for (var i = 0u; i < D4 * rolled; i++) { o[row * D4 + i] = sum[i] / l; }
{{- end}}
}
