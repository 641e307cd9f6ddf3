// Gradient of attention with respect to the queries, with p = exp(SCALE q . k - lse) computed again:
//   dq[t, n] = SCALE sum over keys j <= t of p (do . v[j] - delta[t, n]) k[j]
//   qkv, lse, dout [B, SEQ, HEADS D], delta [B SEQ, HEADS] -> the queries' part of dqkv
// Rows are queries of head y % HEADS of sequence y / HEADS, columns its keys and values.
{{template "tiles" .}}
{{- template "gradient bindings"}}

var<workgroup> queries: array<vec4<f32>, {{mul .Rows (add .Words 1)}}>;
var<workgroup> douts: array<vec4<f32>, {{mul .Rows (add .Words 1)}}>;
var<workgroup> keys: array<vec4<f32>, {{mul .Cols (add .Words 1)}}>;
var<workgroup> values: array<vec4<f32>, {{mul .Cols (add .Words 1)}}>;
var<workgroup> weights: array<Scores, {{mul .Rows (add .Lanes 1)}}>;
{{$top := .}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
{{- template "invocation" .}}
	let head = group.y % HEADS;
	let base = (group.y / HEADS) * SEQ;
{{- template "stage" .Stage "ROWS" "first" "queries" "SCALE * qkv[{t} * STRIDE + head * D4 + {w}]" "douts" "dout[({t} * HEADS + head) * D4 + {w}]"}}
{{- range $i := seq .PerRows}}
	let at{{$i}} = (base + min(first + y + {{$i}}u * Y, SEQ - 1u)) * HEADS + head;
	let lse{{$i}} = lse[at{{$i}}];
	let delta{{$i}} = delta[at{{$i}}];
{{- range $u := seq $top.PerWords}}
	var dq{{$i}}_{{$u}} = vec4<f32>();
{{- end}}
{{- end}}
	for (var tile = 0u; tile < min(first + ROWS, SEQ); tile += COLS) {
{{- template "stage" .Stage "COLS" "tile" "keys" "qkv[{t} * STRIDE + (HEADS + head / GROUP) * D4 + {w}]" "values" "qkv[{t} * STRIDE + (HEADS + KV_HEADS + head / GROUP) * D4 + {w}]"}}
		workgroupBarrier();
{{- range $i := seq .PerRows}}
		var s{{$i}} = Scores();
		var dp{{$i}} = Scores();
{{- end}}
{{template "tile scores" .With "s" "queries" "keys" "dp" "douts" "values"}}
{{- range $i := seq .PerRows}}
		{
			let t = first + y + {{$i}}u * Y;
			var ds = exp(s{{$i}} - Scores(lse{{$i}})) * (dp{{$i}} - Scores(delta{{$i}}));
{{- range $j := seq $top.PerCols}}
			if (tile + x + {{$j}}u * X > t) { {{$top.Of "ds" $j}} = 0.0; }
{{- end}}
			weights[(y + {{$i}}u * Y) * P_PITCH + x] = ds;
		}
{{- end}}
		workgroupBarrier();
{{template "tile sums" .Weighted "dq" "weights" "keys"}}
		workgroupBarrier();
	}
{{- range $i := seq .PerRows}}
	if (first + y + {{$i}}u * Y < SEQ) {
{{- range $u := seq $top.PerWords}}
		if (x + {{$u}}u * X < D4) { dqkv[(base + first + y + {{$i}}u * Y) * STRIDE + head * D4 + w{{$u}}] = dq{{$i}}_{{$u}} * SCALE; }
{{- end}}
	}
{{- end}}
}
