// Gradient of attention with respect to the queries, with p = exp(SCALE q . k - lse) recomputed:
//   dq[t, n] = SCALE sum over keys j <= t of p (do . v[j] - delta[t, n]) k[j]
//   qkv, lse, dout [B, SEQ, HEADS D], delta [B SEQ, HEADS] -> the queries' part of dqkv
// Rows are queries of head y % HEADS of sequence y / HEADS, columns its keys and values.
{{template "tiles" .}}
{{- template "gradient bindings" .}}

fn load_queries(t: u32, w: u32, head: u32) -> vec4<f32> { return SCALE * qkv[t * STRIDE + head * D4 + w]; }
fn load_douts(t: u32, w: u32, head: u32) -> vec4<f32> { return dout[(t * HEADS + head) * D4 + w]; }
fn load_keys(t: u32, w: u32, kv_head: u32) -> vec4<f32> { return qkv[t * STRIDE + (HEADS + kv_head) * D4 + w]; }
fn load_values(t: u32, w: u32, kv_head: u32) -> vec4<f32> { return qkv[t * STRIDE + (HEADS + KV_HEADS + kv_head) * D4 + w]; }

var<workgroup> queries: array<vec4<f32>, {{mul .Rows (add .Words 1)}}>;
var<workgroup> douts: array<vec4<f32>, {{mul .Rows (add .Words 1)}}>;
var<workgroup> keys: array<vec4<f32>, {{mul .Cols (add .Words 1)}}>;
var<workgroup> values: array<vec4<f32>, {{mul .Cols (add .Words 1)}}>;
var<workgroup> weights: array<Scores, {{mul .Rows (add .Lanes 1)}}>;

@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
{{- template "invocation" .}}
	let head = group.y % HEADS;
	let base = (group.y / HEADS) * SEQ;
{{- template "stage" (args "count" "ROWS" "first" "first" "tiles" (list "queries" "douts") "head" "head")}}
{{- range $i := seq .PerRows}}
{{- if $.Documents}}
	let begin{{$i}} = begins[base + min(first + y + {{$i}}u * Y, SEQ - 1u)];
{{- end}}
	let at{{$i}} = (base + min(first + y + {{$i}}u * Y, SEQ - 1u)) * HEADS + head;
	let lse{{$i}} = lse[at{{$i}}];
	let delta{{$i}} = delta[at{{$i}}];
{{- range $u := seq $.PerWords}}
	var dq{{$i}}_{{$u}} = vec4<f32>();
{{- end}}
{{- end}}
	for (var tile = {{if .Documents}}begins[base + first]{{else}}0u{{end}}; tile < min(first + ROWS, SEQ); tile += COLS) {
{{- template "stage" (args "count" "COLS" "first" "tile" "tiles" (list "keys" "values") "head" "head / GROUP")}}
		workgroupBarrier();
{{- range $i := seq .PerRows}}
		var s{{$i}} = Scores();
		var dp{{$i}} = Scores();
{{- end}}
		for (var d = 0u; d < D4 + none; d++) {
			let w = min(d, D4 - 1u); // tells compilers that indices are within their arrays
{{- template "scores" (args "of" . "to" "s" "rows" "queries" "columns" "keys")}}
{{- template "scores" (args "of" . "to" "dp" "rows" "douts" "columns" "values")}}
		}
{{- range $i := seq .PerRows}}
		{
			let t = first + y + {{$i}}u * Y;
			var ds = exp(s{{$i}} - Scores(lse{{$i}})) * (dp{{$i}} - Scores(delta{{$i}}));
{{- range $j := seq $.PerCols}}
			if (tile + x + {{$j}}u * X > t{{if $.Documents}} || tile + x + {{$j}}u * X < begin{{$i}}{{end}}) { ds{{component $.PerCols $j}} = 0.0; }
{{- end}}
			weights[(y + {{$i}}u * Y) * P_PITCH + x] = ds;
		}
{{- end}}
		workgroupBarrier();
		for (var lane = 0u; lane < X + none; lane++) {
			let owner = min(lane, X - 1u);
{{- template "sums" (args "of" . "to" "dq" "weights" "weights" "columns" "keys")}}
		}
		workgroupBarrier();
	}
{{- range $i := seq .PerRows}}
	if (first + y + {{$i}}u * Y < SEQ) {
{{- range $u := seq $.PerWords}}
		if (x + {{$u}}u * X < D4) { dqkv[(base + first + y + {{$i}}u * Y) * STRIDE + head * D4 + w{{$u}}] = dq{{$i}}_{{$u}} * SCALE; }
{{- end}}
	}
{{- end}}
}
