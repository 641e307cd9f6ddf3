// Causal grouped-query attention with a streaming softmax; no [SEQ, SEQ] matrix is stored:
//   o[t, n] = sum over keys j <= t of softmax_j(SCALE q[t, n] . k[j, n/GROUP]) v[j, n/GROUP]
//   lse[t, n] = logsumexp_j(SCALE q . k), kept for the gradient
//   qkv [B, SEQ, (HEADS + 2 KV_HEADS) D] (queries, keys, values) -> o [B, SEQ, HEADS D], lse [B SEQ, HEADS]
// Rows are queries of head y % HEADS of sequence y / HEADS, columns its keys, and then its values.
{{template "tiles" .}}
{{- template "forward bindings" .}}


fn load_queries(t: u32, w: u32, head: u32) -> vec4<f32> { return SCALE * qkv[t * STRIDE + head * D4 + w]; }
fn load_columns(t: u32, w: u32, head: u32) -> vec4<f32> { return qkv[t * STRIDE + head * D4 + w]; }

var<workgroup> queries: array<vec4<f32>, {{mul .Rows (add .Words 1)}}>;
var<workgroup> columns: array<vec4<f32>, {{mul .Cols (add .Words 1)}}>;
var<workgroup> weights: array<Scores, {{mul .Rows (add .Lanes 1)}}>;
var<workgroup> lanes: array<vec4<f32>, {{div (mul .Rows .Lanes) 4}}>; // one value of each invocation

fn largest(row: u32) -> f32 {
	var m = lanes[row * (X / 4u)];
	for (var i = 1u; i < X / 4u; i++) { m = max(m, lanes[row * (X / 4u) + i]); }
	return max(max(m.x, m.y), max(m.z, m.w));
}

fn total(row: u32) -> f32 {
	var sum = lanes[row * (X / 4u)];
	for (var i = 1u; i < X / 4u; i++) { sum += lanes[row * (X / 4u) + i]; }
	return (sum.x + sum.y) + (sum.z + sum.w);
}

@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
{{- template "invocation" .}}
	let head = group.y % HEADS;
	let base = (group.y / HEADS) * SEQ;
{{- template "stage" (args "count" "ROWS" "first" "first" "tiles" (list "queries") "head" "head")}}
{{- range $i := seq .PerRows}}
{{- if $.Documents}}
	let begin{{$i}} = begins[base + min(first + y + {{$i}}u * Y, SEQ - 1u)];
{{- end}}
	var m{{$i}} = LOWEST;
	var l{{$i}} = 0.0;
{{- range $u := seq $.PerWords}}
	var o{{$i}}_{{$u}} = vec4<f32>();
{{- end}}
{{- end}}
	for (var tile = {{if .Documents}}begins[base + first]{{else}}0u{{end}}; tile < min(first + ROWS, SEQ); tile += COLS) {
{{- template "stage" (args "count" "COLS" "first" "tile" "tiles" (list "columns") "head" "HEADS + head / GROUP")}}
		workgroupBarrier();
{{- range $i := seq .PerRows}}
		var s{{$i}} = Scores();
{{- end}}
		for (var d = 0u; d < D4 + none; d++) {
			let w = min(d, D4 - 1u); // tells compilers that indices are within their arrays
{{- template "scores" (args "of" . "to" "s" "rows" "queries" "columns" "columns")}}
		}
		// Masks the keys that a query does not see, and finds the greatest score of a row over its invocations.
{{- range $i := seq .PerRows}}
		{
			let t = first + y + {{$i}}u * Y;
			var m = LOWEST;
{{- range $j := seq $.PerCols}}
			if (tile + x + {{$j}}u * X > t{{if $.Documents}} || tile + x + {{$j}}u * X < begin{{$i}}{{end}}) { s{{$i}}{{component $.PerCols $j}} = LOWEST; }
			m = max(m, s{{$i}}{{component $.PerCols $j}});
{{- end}}
			lanes[(y + {{$i}}u * Y) * (X / 4u) + x / 4u][x % 4u] = m;
		}
{{- end}}
		workgroupBarrier();
		// Values replace the keys, which are no longer needed.
{{- template "stage" (args "count" "COLS" "first" "tile" "tiles" (list "columns") "head" "HEADS + KV_HEADS + head / GROUP")}}
{{- range $i := seq .PerRows}}
		{
			let m = max(m{{$i}}, largest(y + {{$i}}u * Y));
			let keep = exp(m{{$i}} - m);
			let p = exp(s{{$i}} - Scores(m)); // 0 for LOWEST: every query has seen a key by now
			weights[(y + {{$i}}u * Y) * P_PITCH + x] = p;
			l{{$i}} = l{{$i}} * keep + {{range $j := seq $.PerCols}}{{if $j}} + {{end}}p{{component $.PerCols $j}}{{end}};
			m{{$i}} = m;
{{- range $u := seq $.PerWords}}
			o{{$i}}_{{$u}} *= keep;
{{- end}}
		}
{{- end}}
		workgroupBarrier();
		for (var lane = 0u; lane < X + none; lane++) {
			let owner = min(lane, X - 1u);
{{- template "sums" (args "of" . "to" "o" "weights" "weights" "columns" "columns")}}
		}
		workgroupBarrier();
	}
{{- range $i := seq .PerRows}}
	lanes[(y + {{$i}}u * Y) * (X / 4u) + x / 4u][x % 4u] = l{{$i}};
{{- end}}
	workgroupBarrier();
{{- range $i := seq .PerRows}}
	{
		let t = first + y + {{$i}}u * Y;
		if (t < SEQ) {
			let l = total(y + {{$i}}u * Y);
			let row = (base + t) * HEADS + head;
{{- range $u := seq $.PerWords}}
			if (x + {{$u}}u * X < D4) { o[row * D4 + w{{$u}}] = o{{$i}}_{{$u}} / l; }
{{- end}}
			if (x == 0u) { lse[row] = m{{$i}} + log(l); }
		}
	}
{{- end}}
}
