// Appends new keys and values to a cache: keys[b, start[b] + i] = the keys of qkv[b, i], values likewise.
//   start [B], qkv [B, SEQ, (HEADS + 2 KV_HEADS) D] -> keys, values [B, CONTEXT, KV_HEADS D]; one invocation an element.
// Positions past CONTEXT are dropped.
const B = {{.Batch}}u;
const SEQ = {{.Seq}}u;
const CONTEXT = {{.Context}}u;
const QUERIES = {{mul .Heads .HeadDim}}u;
const WIDTH = {{mul .KVHeads .HeadDim}}u; // of a row of keys, and of values

{{read "start: array<u32>"}}
{{read "qkv: array<f32>"}}
{{write "keys: array<f32>"}}
{{write "values: array<f32>"}}
{{template "index" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
	let i = index(id, groups);
	let t = i / WIDTH;
	let b = t / SEQ;
	if (b >= B) { return; }
	let position = start[b] + t % SEQ;
	if (position >= CONTEXT) { return; }
	let old = t * (QUERIES + 2u * WIDTH) + QUERIES + i % WIDTH;
	let place = (b * CONTEXT + position) * WIDTH + i % WIDTH;
	keys[place] = qkv[old];
	values[place] = qkv[old + WIDTH];
}
