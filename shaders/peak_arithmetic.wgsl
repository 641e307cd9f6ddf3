// How fast an adapter computes: {{.Chains}} chains of four {{.Label}} each, none of which waits for another.
// Nothing of use comes out; y is written if a sum hits a value that it does not reach.
@group(0) @binding(0) var<storage, read_write> y: array<u32>;

alias Value = vec4<{{.Type}}>;
{{- $top := .}}{{$chains := seq .Chains}}

@compute @workgroup_size({{.Threads}})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
	let x = {{if eq .Type "f32"}}bitcast<f32>{{else}}{{.Type}}{{end}}(y[0]); // the compiler does not know it
{{- range $i := $chains}}
	var s{{$i}} = Value({{$top.Type}}(id.x + {{$i}}u));
{{- end}}
	for (var i = 0u; i < {{.Steps}}u; i++) {
{{- range seq .Unroll}}{{range $i := $chains}}
{{- if eq $top.Kind "fma"}}
		s{{$i}} = fma(s{{$i}}, Value(x), Value(x));
{{- else if eq $top.Kind "dot"}}
		s{{$i}} += vec4<i32>({{range $c := seq 4}}dot4I8Packed(bitcast<u32>(s{{$top.Next $i}}.{{xyzw $c}}), bitcast<u32>(x)), {{end}});
{{- else}}
		s{{$i}} = s{{$i}} * x + x;
{{- end}}
{{- end}}{{end}}
	}
	let sum = {{range $i := $chains}}{{if $i}} + {{end}}s{{$i}}{{end}};
	if (all(sum == Value({{if eq .Type "f32"}}1.5e38{{else}}1234567{{end}}))) { y[1] = id.x; }
}
