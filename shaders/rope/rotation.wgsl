// Rotary position embedding, rotate-half, in place on the first HEADS heads of each row:
//   (a, b) = (x[t, n, i], x[t, n, i + D/2]) -> (a cos - b sin, b cos + a sin),
//   angle = pos(t) theta^(-2i/D), pos(t) = {{if .Context}}places[t]{{else}}t mod SEQ{{if .Documents}} - begins[t]{{end}}{{end}}.{{if .Backward}} This is the gradient: the inverse rotation.{{end}}
//   table [{{if .Context}}{{.Context}}{{else}}SEQ{{end}}, 2, D/2] (cos, then sin), x [T, STRIDE]; one invocation a V of a
{{template "vector" .}}
const T = {{.Tokens}}u;
{{- if not .Context}}
const SEQ = {{.Seq}}u;
{{- end}}
const HEADS = {{.Heads}}u;
const HALF = {{div (div .HeadDim 2) .Each}}u; // of V
const STRIDE = {{div .Stride .Each}}u; // of V

{{read "table: array<V>"}}
{{write "x: array<V>"}}
{{- if .Context}}
{{read "places: array<u32>"}} // the positions of the tokens, then more
{{- end}}
{{- if .Documents}}
{{read "begins: array<u32>"}} // [T], the place in its row of the first token of each token's document
{{- end}}
{{template "index" .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
	let n = index(id, groups);
	if (n >= T * HEADS * HALF) { return; }
	let i = n % HALF;
	let head = (n / HALF) % HEADS;
	let t = n / (HALF * HEADS);
{{- if .Context}}
	let position = min(places[t], {{.Context}}u - 1u);
{{- else}}
	let position = t % SEQ{{if .Documents}} - min(begins[t], t % SEQ){{end}};
{{- end}}
	let at = position * 2u * HALF + i;
	let c = table[at];
	let s = {{if .Backward}}-{{end}}table[at + HALF];
	let p = t * STRIDE + head * 2u * HALF + i;
	let a = x[p];
	let b = x[p + HALF];
	x[p] = a * c - b * s;
	x[p + HALF] = b * c + a * s;
}
