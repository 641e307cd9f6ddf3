// Matrix product for a few rows of a on a CPU, as when text is generated token by token. Its time is that of loading b, lane by
// lane, and of unpacking it:
{{template "formula" .}}
// Each lane has {{.PerLane}} columns, {{.Lanes}} apart, so that what is loaded and unpacked of a serves all of them.
{{- if .B.Ternary}}
// The codes w + 1 stay unsigned, and the sum over a is subtracted at the end: a factor without a sign, and both below 2^15,
// let the compiler multiply and add by one instruction.
{{- end}}
{{- $rows := seq .M}}{{$columns := seq .PerLane}}{{$ternary := .B.Ternary}}
const M = {{.M}}u;
const N = {{.N}}u;
const STEPS = {{.Words}}u; // of a row of b
const LANES = {{.Lanes}}u;
const COLS = {{.Cols}}u; // a workgroup
{{template "bindings" .}}
{{- if .Uniform}}
{{template "uniform"}}
{{- end}}
@compute @workgroup_size({{.Lanes}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
	let n = (group.x + group.y * groups.x) * COLS + local;
{{- range $c := $columns}}
	let column{{$c}} = min(n + {{mul $c $.Lanes}}u, N - 1u) * STEPS;
{{- end}}
{{- range $m := $rows}}{{range $c := $columns}}
	var s{{$m}}_{{$c}} = {{if $ternary}}0{{else}}0.0{{end}};
{{- end}}{{if $ternary}}
	var all{{$m}} = 0;
{{- end}}{{end}}
	for (var step = 0u; step < STEPS; step++) {
		let k = {{if .Uniform}}uniform{{digits .Words}}(step){{else}}step{{end}};
{{- range $c := $columns}}
		let w{{$c}} = b[column{{$c}} + step];
{{- end}}
{{- if $ternary}}
{{- range $i := seq .PerStep}}{{range $m := $rows}}
		{
			let x = a[({{$m}}u * STEPS + k) * {{$.PerStep}}u + {{$i}}u];
	{{- range $k := seq 16}}
			let x{{$k}} = i32(x{{component 4 (div $k 4)}} << {{sub 24 (mul 8 (mod $k 4))}}u) >> 24u;
	{{- end}}
			all{{$m}} = all{{$m}}{{range $k := seq 16}} + x{{$k}}{{end}};
	{{- range $c := $columns}}{{$word := printf "w%d%s" $c (component $.PerStep $i)}}
			s{{$m}}_{{$c}} = s{{$m}}_{{$c}}{{range $k := seq 16}} + x{{$k}} * i32(({{$word}} >> {{mul 2 $k}}u) & 3u){{end}};
	{{- end}}
		}
{{- end}}{{end}}
{{- else if .B.Int8}}
	{{- range $i := seq 4}}{{range $c := $columns}}
		let v{{$c}}_{{$i}} = vec4<f32>(vec4<i32>(vec4<u32>(w{{$c}}{{component 4 $i}}) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u));
	{{- end}}{{range $m := $rows}}
		{
			let x = a[({{$m}}u * STEPS + k) * 4u + {{$i}}u];
		{{- range $c := $columns}}
			s{{$m}}_{{$c}} += dot(x, v{{$c}}_{{$i}});
		{{- end}}
		}
	{{- end}}{{end}}
{{- else}}
	{{- range $m := $rows}}
		{
			let x = a[{{$m}}u * STEPS + k];
		{{- range $c := $columns}}
			s{{$m}}_{{$c}} += dot(x, w{{$c}});
		{{- end}}
		}
	{{- end}}
{{- end}}
	}
{{- range $c := $columns}}
	if (n + {{mul $c $.Lanes}}u >= N) { return; }
{{- if $.ColScale}}
	let scale{{$c}} = cols[n + {{mul $c $.Lanes}}u];
{{- end}}
{{- range $m := $rows}}
	c[{{$m}}u * N + n + {{mul $c $.Lanes}}u] = f32(s{{$m}}_{{$c}}{{if $ternary}} - all{{$m}}{{end}}){{if $.RowScale}} * rows[{{$m}}]{{end}}{{if $.ColScale}} * scale{{$c}}{{end}}{{if $.Residual}} + residual[{{$m}}u * N + n + {{mul $c $.Lanes}}u]{{end}};
{{- end}}
{{- end}}
}
