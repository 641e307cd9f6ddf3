// Gradient of attention with respect to keys and values, with p = exp(SCALE q . k - lse) recomputed:
//   dv[j, m] = sum over the heads n of group m and queries t >= j of p do[t, n]
//   dk[j, m] = SCALE sum over the same of p (do . v - delta[t, n]) q[t, n]
//   qkv, lse, dout [B, SEQ, HEADS D], delta [B SEQ, HEADS] -> the keys' and values' part of dqkv
// Rows are keys and values of head y % KV_HEADS of sequence y / KV_HEADS, columns queries of its group.
{{template "tiles" .}}
{{- template "gradient bindings" .}}

fn load_keys(t: u32, w: u32, kv_head: u32) -> vec4<f32> { return SCALE * qkv[t * STRIDE + (HEADS + kv_head) * D4 + w]; }
fn load_values(t: u32, w: u32, kv_head: u32) -> vec4<f32> { return qkv[t * STRIDE + (HEADS + KV_HEADS + kv_head) * D4 + w]; }
fn load_queries(t: u32, w: u32, head: u32) -> vec4<f32> { return qkv[t * STRIDE + head * D4 + w]; }
fn load_douts(t: u32, w: u32, head: u32) -> vec4<f32> { return dout[(t * HEADS + head) * D4 + w]; }

var<workgroup> keys: array<vec4<f32>, {{mul .Rows (add .Words 1)}}>;
var<workgroup> values: array<vec4<f32>, {{mul .Rows (add .Words 1)}}>;
var<workgroup> queries: array<vec4<f32>, {{mul .Cols (add .Words 1)}}>;
var<workgroup> douts: array<vec4<f32>, {{mul .Cols (add .Words 1)}}>;
var<workgroup> weights: array<Scores, {{mul .Rows (add .Lanes 1)}}>; // p
var<workgroup> pulls: array<Scores, {{mul .Rows (add .Lanes 1)}}>; // p (do . v - delta)
var<workgroup> scalars: array<vec2<f32>, {{.Cols}}>; // lse, delta

@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
{{- template "invocation" .}}
	let kv_head = group.y % KV_HEADS;
	let base = (group.y / KV_HEADS) * SEQ;
	let k_at = (HEADS + kv_head) * D4;
	let v_at = k_at + KV_HEADS * D4;
{{- template "stage" (args "count" "ROWS" "first" "first" "tiles" (list "keys" "values") "head" "kv_head")}}
{{- range $i := seq .PerRows}}{{range $u := seq $.PerWords}}
	var dk{{$i}}_{{$u}} = vec4<f32>();
	var dv{{$i}}_{{$u}} = vec4<f32>();
{{- end}}{{end}}
	for (var head = kv_head * GROUP; head < (kv_head + 1u) * GROUP; head++) {
		for (var tile = first / COLS * COLS; tile < SEQ; tile += COLS) {
{{- if .Documents}}
			if (begins[base + tile] >= first + ROWS) { break; } // later queries see none of these keys either
{{- end}}
{{- template "stage" (args "count" "COLS" "first" "tile" "tiles" (list "queries" "douts") "head" "head")}}
			if (local < COLS) {
				let at = (base + min(tile + local, SEQ - 1u)) * HEADS + head;
				scalars[local] = vec2<f32>(lse[at], delta[at]);
			}
			workgroupBarrier();
{{- range $i := seq .PerRows}}
			var s{{$i}} = Scores();
			var dp{{$i}} = Scores();
{{- end}}
		for (var d = 0u; d < D4 + none; d++) {
			let w = min(d, D4 - 1u); // tells compilers that indices are within their arrays
{{- template "scores" (args "of" . "to" "s" "rows" "keys" "columns" "queries")}}
{{- template "scores" (args "of" . "to" "dp" "rows" "values" "columns" "douts")}}
		}
{{- range $j := seq .PerCols}}
{{- if $.Documents}}
			let begin{{$j}} = begins[base + min(tile + x + {{$j}}u * X, SEQ - 1u)];
{{- end}}
			let of{{$j}} = scalars[x + {{$j}}u * X];
{{- end}}
{{- range $i := seq .PerRows}}
			{
				let j = first + y + {{$i}}u * Y;
				var p = exp(s{{$i}} - Scores({{range $j := seq $.PerCols}}{{if $j}}, {{end}}of{{$j}}.x{{end}}));
{{- range $j := seq $.PerCols}}
				if (tile + x + {{$j}}u * X < j || tile + x + {{$j}}u * X >= SEQ{{if $.Documents}} || begin{{$j}} > j{{end}}) { p{{component $.PerCols $j}} = 0.0; }
{{- end}}
				weights[(y + {{$i}}u * Y) * P_PITCH + x] = p;
				pulls[(y + {{$i}}u * Y) * P_PITCH + x] = p * (dp{{$i}} - Scores({{range $j := seq $.PerCols}}{{if $j}}, {{end}}of{{$j}}.y{{end}}));
			}
{{- end}}
			workgroupBarrier();
		for (var lane = 0u; lane < X + none; lane++) {
			let owner = min(lane, X - 1u);
{{- template "sums" (args "of" . "to" "dv" "weights" "weights" "columns" "douts")}}
{{- template "sums" (args "of" . "to" "dk" "weights" "pulls" "columns" "queries")}}
		}
			workgroupBarrier();
		}
	}
{{- range $i := seq .PerRows}}
	if (first + y + {{$i}}u * Y < SEQ) {
		let row = (base + first + y + {{$i}}u * Y) * STRIDE;
{{- range $u := seq $.PerWords}}
		if (x + {{$u}}u * X < D4) {
			dqkv[row + k_at + w{{$u}}] = dk{{$i}}_{{$u}} * SCALE;
			dqkv[row + v_at + w{{$u}}] = dv{{$i}}_{{$u}};
		}
{{- end}}
	}
{{- end}}
}
