{{- define "tiles"}}
{{- /* What the kernels have in common that keep tiles of both sides in workgroup memory. */ -}}
// A workgroup keeps {{.Rows}} rows of one side and meets the other side in tiles of {{.Cols}} columns. Invocation (y, x) computes the
// scores of the rows y + i Y and the columns x + {{.Lanes}} j, and of the sums over columns the vectors x + {{.Lanes}} u of the same rows.
{{- template "heads" .}}
const PITCH = D4 + 1u; // words of a row in workgroup memory: neighbours lie in other banks
const ROWS = {{.Rows}}u;
const COLS = {{.Cols}}u;
const Y = ROWS / {{.PerRows}}u;
const X = {{.Lanes}}u;
const P_PITCH = X + 1u;
alias Scores = {{.Scores}}; // of one row, one for each j
{{end}}

{{- define "invocation"}}
{{- /* Which rows, columns and vectors an invocation has. */}}
	let none = group.z; // always 0, which compilers do not know: they leave loops rolled
	let first = group.x * ROWS;
	let y = local / X;
	let x = local % X;
{{- range $u := seq .PerWords}}
	let w{{$u}} = min(x + {{$u}}u * X, D4 - 1u);
{{- end}}
{{- end}}

{{- define "stage"}}
{{- /* Fills tiles with rows of a side, four loads of each at once in flight. Past the end the last one is loaded and written again. */}}
		for (var i = local; i < {{.Count}} * D4 + none; i += 4u * THREADS) {
{{- range $j := seq 4}}
			let i_{{$j}} = min(i + {{$j}}u * THREADS, {{$.Count}} * D4 - 1u);
			let t_{{$j}} = base + min({{$.First}} + i_{{$j}} / D4, SEQ - 1u);
{{- range $n, $tile := $.Tiles}}
			let v{{$n}}_{{$j}} = {{$tile.Load $j}};
{{- end}}{{end}}
{{- range $j := seq 4}}{{range $n, $tile := $.Tiles}}
			{{$tile.To}}[(i_{{$j}} / D4) * PITCH + i_{{$j}} % D4] = v{{$n}}_{{$j}};
{{- end}}{{end}}
		}
{{- end}}

{{- define "tile scores"}}
{{- /* Adds up the products of rows and columns: of several pairs (sums, rows, columns). */}}
		for (var d = 0u; d < D4 + none; d++) {
			let w = min(d, D4 - 1u); // tells compilers that places are within their arrays
{{- range $pair := .Pairs}}
{{- range $i := seq $.PerRows}}
			let {{$pair.Sums}}_a{{$i}} = {{$pair.Rows}}[(y + {{$i}}u * Y) * PITCH + w];
{{- end}}
{{- range $j := seq $.PerCols}}
			let {{$pair.Sums}}_b{{$j}} = {{$pair.Cols}}[(x + {{$j}}u * X) * PITCH + w];
{{- end}}
{{- range $i := seq $.PerRows}}{{range $j := seq $.PerCols}}{{$s := $.Score $pair.Sums $i $j}}{{$a := printf "%s_a%d" $pair.Sums $i}}{{$b := printf "%s_b%d" $pair.Sums $j}}
			{{$s}} = fma({{$a}}.w, {{$b}}.w, fma({{$a}}.z, {{$b}}.z, fma({{$a}}.y, {{$b}}.y, fma({{$a}}.x, {{$b}}.x, {{$s}}))));
{{- end}}{{end}}
{{- end}}
		}
{{- end}}

{{- define "tile sums"}}
{{- /* Adds weights times columns to sums: of several triples (sums, weights, columns). */}}
		for (var lane = 0u; lane < X + none; lane++) {
			let owner = min(lane, X - 1u);
{{- range $triple := .Triples}}
{{- range $i := seq $.PerRows}}
			let {{$triple.Sums}}_p{{$i}} = {{$triple.Weights}}[(y + {{$i}}u * Y) * P_PITCH + owner];
{{- end}}
{{- range $j := seq $.PerCols}}{{range $u := seq $.PerWords}}
			let {{$triple.Sums}}_c{{$j}}_{{$u}} = {{$triple.Cols}}[(owner + {{$j}}u * X) * PITCH + w{{$u}}];
{{- end}}{{end}}
{{- range $i := seq $.PerRows}}{{range $u := seq $.PerWords}}{{range $j := seq $.PerCols}}
			{{$triple.Sums}}{{$i}}_{{$u}} = fma(vec4<f32>({{$.Score (printf "%s_p" $triple.Sums) $i $j}}), {{$triple.Sums}}_c{{$j}}_{{$u}}, {{$triple.Sums}}{{$i}}_{{$u}});
{{- end}}{{end}}{{end}}
{{- end}}
		}
{{- end -}}

// Causal grouped-query attention with a streaming softmax; no [SEQ, SEQ] matrix is stored:
//   o[t, n] = sum over keys j <= t of softmax_j(SCALE q[t, n] . k[j, n/GROUP]) v[j, n/GROUP]
//   lse[t, n] = logsumexp_j(SCALE q . k), kept for the gradient
//   qkv [B, SEQ, (HEADS + 2 KV_HEADS) D] (queries, keys, values) -> o [B, SEQ, HEADS D], lse [B SEQ, HEADS]
// Rows are queries of head y % HEADS of sequence y / HEADS, columns its keys, and then its values.
{{template "tiles" .}}
@group(0) @binding(0) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> o: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> lse: array<f32>;

var<workgroup> queries: array<vec4<f32>, {{mul .Rows (add .Words 1)}}>;
var<workgroup> columns: array<vec4<f32>, {{mul .Cols (add .Words 1)}}>;
var<workgroup> weights: array<Scores, {{mul .Rows (add .Lanes 1)}}>;
var<workgroup> lanes: array<vec4<f32>, {{div (mul .Rows .Lanes) 4}}>; // a value of each invocation
{{$top := .}}
fn largest(row: u32) -> f32 {
	var m = lanes[row * (X / 4u)];
{{- range $i := seq (sub (div .Lanes 4) 1)}}
	m = max(m, lanes[row * (X / 4u) + {{add $i 1}}u]);
{{- end}}
	return max(max(m.x, m.y), max(m.z, m.w));
}

fn total(row: u32) -> f32 {
	var sum = lanes[row * (X / 4u)];
{{- range $i := seq (sub (div .Lanes 4) 1)}}
	sum += lanes[row * (X / 4u) + {{add $i 1}}u];
{{- end}}
	return (sum.x + sum.y) + (sum.z + sum.w);
}

@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
{{- template "invocation" .}}
	let head = group.y % HEADS;
	let base = (group.y / HEADS) * SEQ;
{{- template "stage" .Stage "ROWS" "first" "queries" "SCALE * qkv[{t} * STRIDE + head * D4 + {w}]"}}
{{- range $i := seq .PerRows}}
	var m{{$i}} = LOWEST;
	var l{{$i}} = 0.0;
{{- range $u := seq $top.PerWords}}
	var o{{$i}}_{{$u}} = vec4<f32>();
{{- end}}
{{- end}}
	for (var tile = 0u; tile < min(first + ROWS, SEQ); tile += COLS) {
{{- template "stage" .Stage "COLS" "tile" "columns" "qkv[{t} * STRIDE + (HEADS + head / GROUP) * D4 + {w}]"}}
		workgroupBarrier();
{{- range $i := seq .PerRows}}
		var s{{$i}} = Scores();
{{- end}}
{{template "tile scores" .With "s" "queries" "columns"}}
		// What no query sees counts nothing; the greatest score of a row, over its invocations.
{{- range $i := seq .PerRows}}
		{
			let t = first + y + {{$i}}u * Y;
			var m = LOWEST;
{{- range $j := seq $top.PerCols}}
			if (tile + x + {{$j}}u * X > t) { {{$top.Score "s" $i $j}} = LOWEST; }
			m = max(m, {{$top.Score "s" $i $j}});
{{- end}}
			lanes[(y + {{$i}}u * Y) * (X / 4u) + x / 4u][x % 4u] = m;
		}
{{- end}}
		workgroupBarrier();
		// Values over the keys, which are done with.
{{- template "stage" .Stage "COLS" "tile" "columns" "qkv[{t} * STRIDE + (HEADS + KV_HEADS + head / GROUP) * D4 + {w}]"}}
{{- range $i := seq .PerRows}}
		{
			let m = max(m{{$i}}, largest(y + {{$i}}u * Y));
			let keep = exp(m{{$i}} - m);
			let p = exp(s{{$i}} - Scores(m)); // 0 for LOWEST: every query has seen a key by now
			weights[(y + {{$i}}u * Y) * P_PITCH + x] = p;
			l{{$i}} = l{{$i}} * keep + {{$top.Total "p"}};
			m{{$i}} = m;
{{- range $u := seq $top.PerWords}}
			o{{$i}}_{{$u}} *= keep;
{{- end}}
		}
{{- end}}
		workgroupBarrier();
{{template "tile sums" .Weighted "o" "weights" "columns"}}
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
{{- range $u := seq $top.PerWords}}
			if (x + {{$u}}u * X < D4) { o[row * D4 + w{{$u}}] = o{{$i}}_{{$u}} / l; }
{{- end}}
			if (x == 0u) { lse[row] = m{{$i}} + log(l); }
		}
	}
{{- end}}
}
