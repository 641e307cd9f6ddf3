{{define "tiles"}}
{{- /* The constants of kernels that keep tiles of both sides in workgroup memory. */ -}}
// A workgroup keeps {{.Rows}} rows of one side and goes through the other side in tiles of {{.Cols}} columns. Invocation (y, x) computes
// the scores of the rows y + i Y and the columns x + {{.Lanes}} j, and of the sums over columns the vectors x + {{.Lanes}} u of the same rows.
// The code is repeated for each i, j and u, so that these values stay in registers with every compiler.
{{- template "heads" .}}
const PITCH = D4 + 1u; // words of a row in workgroup memory: neighbours are in different banks
const ROWS = {{.Rows}}u;
const COLS = {{.Cols}}u;
const Y = ROWS / {{.PerRows}}u;
const X = {{.Lanes}}u;
const P_PITCH = X + 1u;
alias Scores = {{if eq .PerCols 1}}f32{{else}}vec{{.PerCols}}<f32>{{end}}; // of one row, one for each j
{{end}}

{{- define "invocation"}}
{{- /* Which rows, columns and vectors an invocation has. */}}
	let none = group.z; // always 0, but compilers cannot see that and do not unroll loops
	let first = group.x * ROWS;
	let y = local / X;
	let x = local % X;
{{- range $u := seq .PerWords}}
	let w{{$u}} = min(x + {{$u}}u * X, D4 - 1u);
{{- end}}
{{- end}}

{{- define "stage"}}
{{- /* Fills each of the tiles with count rows of a side, from row first on: load_<tile>(row, word, head) loads a vector, four
       at a time are in flight. Past the end the last vector is loaded and written again. */}}
		for (var i = local; i < {{.count}} * D4 + none; i += 4u * THREADS) {
{{- range $j := seq 4}}
			let i_{{$j}} = min(i + {{$j}}u * THREADS, {{$.count}} * D4 - 1u);
			let t_{{$j}} = base + min({{$.first}} + i_{{$j}} / D4, SEQ - 1u);
{{- range $tile := $.tiles}}
			let {{$tile}}_{{$j}} = load_{{$tile}}(t_{{$j}}, i_{{$j}} % D4, {{$.head}});
{{- end}}{{end}}
{{- range $j := seq 4}}{{range $tile := $.tiles}}
			{{$tile}}[(i_{{$j}} / D4) * PITCH + i_{{$j}} % D4] = {{$tile}}_{{$j}};
{{- end}}{{end}}
		}
{{- end}}

{{- define "scores"}}
{{- /* Adds the products of word w of the rows and columns to the scores "to". */}}
{{- range $i := seq .of.PerRows}}
			let {{$.to}}_a{{$i}} = {{$.rows}}[(y + {{$i}}u * Y) * PITCH + w];
{{- end}}
{{- range $j := seq .of.PerCols}}
			let {{$.to}}_b{{$j}} = {{$.columns}}[(x + {{$j}}u * X) * PITCH + w];
{{- end}}
{{- range $i := seq .of.PerRows}}{{range $j := seq $.of.PerCols}}
{{- $s := printf "%s%d%s" $.to $i (component $.of.PerCols $j)}}{{$a := printf "%s_a%d" $.to $i}}{{$b := printf "%s_b%d" $.to $j}}
			{{$s}} = fma({{$a}}.w, {{$b}}.w, fma({{$a}}.z, {{$b}}.z, fma({{$a}}.y, {{$b}}.y, fma({{$a}}.x, {{$b}}.x, {{$s}}))));
{{- end}}{{end}}
{{- end}}

{{- define "sums"}}
{{- /* Adds the weights of lane owner times its columns to the sums "to". */}}
{{- range $i := seq .of.PerRows}}
			let {{$.to}}_p{{$i}} = {{$.weights}}[(y + {{$i}}u * Y) * P_PITCH + owner];
{{- end}}
{{- range $j := seq .of.PerCols}}{{range $u := seq $.of.PerWords}}
			let {{$.to}}_c{{$j}}_{{$u}} = {{$.columns}}[(owner + {{$j}}u * X) * PITCH + w{{$u}}];
{{- end}}{{end}}
{{- range $i := seq .of.PerRows}}{{range $u := seq $.of.PerWords}}{{range $j := seq $.of.PerCols}}
			{{$.to}}{{$i}}_{{$u}} = fma(vec4<f32>({{$.to}}_p{{$i}}{{component $.of.PerCols $j}}), {{$.to}}_c{{$j}}_{{$u}}, {{$.to}}{{$i}}_{{$u}});
{{- end}}{{end}}{{end}}
{{- end}}
