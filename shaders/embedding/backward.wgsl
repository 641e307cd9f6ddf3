// Gradient of the embedding: dtable[v, h] += sum over t with ids[t] = v of dy[t, h].
//   ids [T], order [T] (the positions sorted by id, ties in order), dy [T, H] -> dtable [vocabulary, H]
// The invocations of the first position of each id add up all positions of that id. So each element has
// one writer and a fixed order of summation, without float atomics.
{{- if .Rows}}
// dtable has the ROWS rows from FIRST on; other ids are left out.
const FIRST = {{.First}}u;
const ROWS = {{.Rows}}u;
{{- end}}
{{template "vector" .}}
const T = {{.Tokens}}u;
const H = {{div .Width .Each}}u; // of V

{{read "ids: array<u32>"}}
{{read "order: array<u32>"}}
{{read "dy: array<V>"}}
{{write "dtable: array<V>"}}
{{template "index" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
	let i = index(gid, groups);
	if (i >= T * H) { return; }
	let first = i / H;
	let h = i % H;
	let id = ids[order[first]];
{{- if .Rows}}
	let row = id - FIRST; // wraps to a large number before FIRST
	if (row >= ROWS) { return; }
{{- end}}
	if (first > 0u && ids[order[first - 1u]] == id) { return; }
	var sum = V(0.0);
	for (var n = first; n < T; n++) {
		let t = order[n];
		if (ids[t] != id) { break; }
		sum += dy[t * H + h];
	}
	dtable[{{if .Rows}}row{{else}}id{{end}} * H + h] += sum;
}
