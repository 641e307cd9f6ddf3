// Embedding: y[t, h] = table[ids[t], h].
//   ids [T] u32, table [vocabulary, H] -> y [T, H]; one invocation a V.
{{- if .Rows}}
// The table has the ROWS rows from FIRST on; the rows of y of other ids stay as they are.
const FIRST = {{.First}}u;
const ROWS = {{.Rows}}u;
{{- end}}
{{template "vector" .}}
const T = {{.Tokens}}u;
const H = {{div .Width .Each}}u; // of V

{{read "ids: array<u32>"}}
{{read "table: array<V>"}}
{{write "y: array<V>"}}
{{template "index" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
	let i = index(id, groups);
	if (i >= T * H) { return; }
{{- if .Rows}}
	let row = ids[i / H] - FIRST; // wraps to a large number before FIRST
	if (row >= ROWS) { return; }
	y[i] = table[row * H + i % H];
{{- else}}
	y[i] = table[ids[i / H] * H + i % H];
{{- end}}
}
