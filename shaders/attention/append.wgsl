// Stores new keys and values in a cache: keys[sequence(t), position(t)] = the keys of qkv[t], values likewise.
//   places [2, T] (position, then sequence), qkv [T, (HEADS + 2 KV_HEADS) D] -> keys, values [SEQUENCES, CONTEXT, KV_HEADS D];
//   one invocation an element. Positions past CONTEXT are dropped.
const T = {{.Tokens}}u;
const CONTEXT = {{.Context}}u;
const QUERIES = {{mul .Heads .HeadDim}}u;
const WIDTH = {{mul .KVHeads .HeadDim}}u; // of a row of keys, and of values

{{read "places: array<u32>"}}
{{read "qkv: array<f32>"}}
{{write "keys: array<f32>"}}
{{write "values: array<f32>"}}
{{template "index" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
	let i = index(id, groups);
	let t = i / WIDTH;
	if (t >= T) { return; }
	let position = places[t];
	if (position >= CONTEXT) { return; }
	let old = t * (QUERIES + 2u * WIDTH) + QUERIES + i % WIDTH;
	let place = (places[T + t] * CONTEXT + position) * WIDTH + i % WIDTH;
	keys[place] = qkv[old];
	values[place] = qkv[old + WIDTH];
}
